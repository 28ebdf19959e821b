// Changes of the document that describes the services: a map of the lists `vips` and `pools`, as in the
// configuration file. Each is a pure function of a document; whether the result is a good one, the reader of
// the configuration says.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "control/yaml_tree.h"

namespace sluice {

enum class ServiceKind { kVip, kPool, kBackend };

/// One VIP, pool or backend. A backend without a name goes by its address.
struct ServicePath {
  ServiceKind kind = ServiceKind::kVip;
  std::string pool;  ///< of a backend
  std::string name;

  /// "vip 'web'", "pool 'web'", "backend 'b1' of pool 'web'"
  std::string text() const;
};

struct EditRefused {
  enum class Why {
    kInvalid,   ///< the body is not what it must be
    kNotFound,  ///< there is no such thing
    kConflict,  ///< there is one already, or it is in use
  };
  Why why;
  std::string message;
};
using Edited = tl::expected<YamlNode, EditRefused>;

/// The services of a whole configuration. Lists that are absent are empty in it; what is no list stays, for
/// the reader to refuse.
YamlNode services_of(const YamlNode& config);

/// A configuration with other services.
YamlNode with_services(YamlNode config, const YamlNode& services);

/// The name that a VIP, pool or backend goes by; "" if it has none.
std::string_view service_name(const YamlNode& item);

/// nullptr if there is none.
const YamlNode* find_service(const YamlNode& document, const ServicePath& path);

/// A new one at the end of its list. `path.name` is not looked at: the item has it.
Edited add_service(YamlNode document, const ServicePath& path, YamlNode item);

/// In the place of the one of this name, or new. `item` need not repeat its name.
Edited put_service(YamlNode document, const ServicePath& path, YamlNode item);

/// Sets the fields that `patch` has, as RFC 7396: null takes a field away, a map is merged with the one there
/// is, all else replaces.
Edited patch_service(YamlNode document, const ServicePath& path, const YamlNode& patch);

/// A pool that VIPs send to is not removed.
Edited remove_service(YamlNode document, const ServicePath& path);

/// All at once: `whole` is a map of `vips` and `pools`, of which one may be absent and then is empty.
Edited replace_services(const YamlNode& whole);

}  // namespace sluice
