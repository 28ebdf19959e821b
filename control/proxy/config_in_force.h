// The configuration that the proxy runs under, where it came from, and the one step by which another takes
// its place: the file by a signal or the API, or a document that the API brings.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "control/proxy/proxy_control.h"
#include "control/proxy/proxy_file.h"

namespace sluice::control {

class ConfigInForce {
 public:
  /// `text` is what `control` was started with, of `file`. `may_change` says why nothing may change now, if
  /// so: the process is about to end.
  ConfigInForce(ProxyControl& control, ProxyFile file, std::string text,
                std::function<Result<void>()> may_change);

  /// Takes the file anew. On an error, whose lines say what is wrong, nothing has changed.
  Result<void> reload();
  /// Goes on under `document`, YAML or JSON, until the next reload or restart: the file stays as it is. `by`
  /// is for the log. Errors as reload().
  Result<void> put(const std::string& document, std::string_view by);
  /// Whether put() would take it.
  Result<void> check(const std::string& document) const;

  const std::string& path() const { return file_.path; }
  /// The document in force, as it was written.
  const std::string& text() const { return text_; }
  bool from_file() const { return from_file_; }
  /// Whether the file holds another text by now, or cannot be read.
  bool differs_from_file() const;
  /// Why the last reload was refused; "" if it was not.
  const std::string& error() const { return error_; }

 private:
  Result<void> apply(Result<LoadedProxyFile> loaded, bool from_file);

  ProxyControl& control_;
  ProxyFile file_;
  std::string text_;
  const std::function<Result<void>()> may_change_;
  std::string error_;
  bool from_file_ = true;
};

}  // namespace sluice::control
