#include "dataplane/l7/header_list.h"

#include <algorithm>
#include <cstring>

namespace sluice::l7 {

void HeaderList::add(std::string_view name, std::string_view value, HeaderToken token, bool sensitive) {
  constexpr size_t kFirstBytes = 1024;
  const size_t size = name.size() + value.size();
  if (used_ + size > bytes_.size()) bytes_.resize(std::max({kFirstBytes, bytes_.size() * 2, used_ + size}));
  char* at = bytes_.data() + used_;
  if (!name.empty()) std::memcpy(at, name.data(), name.size());
  if (!value.empty()) std::memcpy(at + name.size(), value.data(), value.size());
  fields_.push_back({static_cast<uint32_t>(used_), static_cast<uint32_t>(name.size()),
                     static_cast<uint32_t>(value.size()), token, sensitive});
  used_ += size;
  overhead_ += 32;
}

const HeaderList::Field* HeaderList::find(HeaderToken token) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [token](const Field& field) { return field.token == token; });
  return found == fields_.end() ? nullptr : &*found;
}

std::string_view HeaderList::get(HeaderToken token) const {
  const Field* field = find(token);
  return field == nullptr ? std::string_view{} : value(*field);
}

bool HeaderList::overwrite(HeaderToken token, std::string_view value) {
  const Field* field = find(token);
  if (field == nullptr || field->value_size != value.size()) return false;
  std::copy(value.begin(), value.end(), bytes_.begin() + field->at + field->name_size);
  return true;
}

void HeaderList::move_to_front(size_t count) {
  std::rotate(fields_.begin(), fields_.end() - static_cast<ptrdiff_t>(count), fields_.end());
}

void HeaderList::shrink(size_t above_bytes) {
  if (capacity() <= above_bytes) return;
  clear();
  std::vector<char>().swap(bytes_);
  std::vector<Field>().swap(fields_);
}

}  // namespace sluice::l7
