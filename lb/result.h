// Errors are values with words: what was found, what is accepted, what to do.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

struct Error {
  std::string message;
};

/// A value or an Error. `fail("...")` makes the latter.
template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace sluice
