#include "dataplane/l7/header_edits.h"

#include <algorithm>

namespace sluice::l7 {
namespace {

bool holds(const HeaderList& fields, std::string_view name) {
  return std::any_of(fields.fields().begin(), fields.fields().end(),
                     [&](const HeaderList::Field& field) { return fields.name(field) == name; });
}

// Whether an edit takes the field away that the message came with.
bool takes_away(const HeaderEdit& edit, std::string_view name) {
  return (edit.kind == HeaderEditKind::kSet || edit.kind == HeaderEditKind::kRemove) && edit.name == name;
}

}  // namespace

void edit_headers(const HeaderList& from, std::span<const HeaderEdit> edits, HeaderList& to) {
  to.clear();
  for (const HeaderList::Field& field : from.fields()) {
    const std::string_view name = from.name(field);
    const bool gone = !is_pseudo(field.token) &&
                      std::any_of(edits.begin(), edits.end(),
                                  [&](const HeaderEdit& edit) { return takes_away(edit, name); });
    if (!gone) to.add(name, from.value(field), field.token, field.sensitive);
  }
  for (size_t i = 0; i < edits.size(); ++i) {
    const HeaderEdit& edit = edits[i];
    if (edit.kind == HeaderEditKind::kRemove) continue;
    if (edit.kind == HeaderEditKind::kAddIfAbsent && holds(to, edit.name)) continue;
    // A later edit of the same name has the last word.
    const auto later = edits.subspan(i + 1);
    if (std::any_of(later.begin(), later.end(),
                    [&](const HeaderEdit& other) { return takes_away(other, edit.name); }))
      continue;
    to.add(edit.name, edit.value);
  }
}

void replace_value(HeaderList& fields, HeaderToken token, std::string_view value, HeaderList& scratch) {
  if (fields.find(token) == nullptr) return;
  scratch.clear();
  for (const HeaderList::Field& field : fields.fields()) {
    scratch.add(fields.name(field), field.token == token ? value : fields.value(field), field.token,
                field.sensitive);
  }
  std::swap(fields, scratch);
}

}  // namespace sluice::l7
