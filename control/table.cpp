#include "control/table.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace sluice {

namespace {

/// Width on a terminal: code points, as names with wide letters are not accepted anywhere.
size_t width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// The text in the colour of its tone (ECMA-48, SGR).
std::string coloured(const Table::Cell& cell) {
  const auto in = [&](const char* code) { return "\033[" + std::string(code) + 'm' + cell.text + "\033[0m"; };
  switch (cell.tone) {
    case Table::Tone::kGood:
      return in("32");
    case Table::Tone::kBad:
      return in("31");
    case Table::Tone::kChanging:
      return in("33");
    case Table::Tone::kPlain:
      break;
  }
  return cell.text;
}

}  // namespace

Table::Cell state_cell(std::string text) {
  using Tone = Table::Tone;
  const auto is_any = [&](std::initializer_list<std::string_view> states) {
    return std::find(states.begin(), states.end(), text) != states.end();
  };
  const Tone tone = is_any({"healthy", "up", "yes", "active", "serves", "open"})  ? Tone::kGood
                    : is_any({"unhealthy", "down", "no", "ejected", "panic"})     ? Tone::kBad
                    : is_any({"drain", "held", "leaving", "draining", "closing"}) ? Tone::kChanging
                                                                                  : Tone::kPlain;
  return {std::move(text), tone};
}

void Table::add(std::vector<Cell> cells) {
  cells.resize(columns_.size(), Cell(""));
  for (Cell& cell : cells) {
    if (cell.text.empty()) cell.text = "-";
    for (char& c : cell.text) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
  }
  rows_.push_back(std::move(cells));
}

std::string Table::render(bool colour) const {
  if (rows_.empty()) return "";
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t widest = width(columns_[i].title);
    for (const auto& row : rows_) widest = std::max(widest, width(row[i].text));
    widths.push_back(widest);
  }
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const Cell& cell = cell_of(i);
      const std::string padding(widths[i] - width(cell.text), ' ');
      const std::string shown = colour ? coloured(cell) : cell.text;
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::kRight ? padding + shown : shown + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  add_line([&](size_t i) { return Cell(columns_[i].title); });
  for (const auto& row : rows_) add_line([&](size_t i) -> const Cell& { return row[i]; });
  return text;
}

}  // namespace sluice
