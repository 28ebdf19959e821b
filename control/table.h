// Text in aligned columns, for people.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sluice {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  /// What a cell means for its reader; a colour on terminals.
  enum class Tone { kPlain, kGood, kBad, kChanging };
  struct Cell {
    std::string text;
    Tone tone = Tone::kPlain;

    Cell(std::string plain) : text(std::move(plain)) {}
    Cell(const char* plain) : text(plain) {}
    Cell(std::string toned, Tone of) : text(std::move(toned)), tone(of) {}
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell for each column. Control characters are shown as '?', an empty cell as '-'.
  void add(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }

  /// Title line and rows, two spaces between columns, without spaces at line ends; "" if there are no rows.
  /// With `colour`, escape sequences around cells that have a tone.
  std::string render(bool colour = false) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// A cell with the tone of the state that `text` names: "healthy", "down", "drain", ...
Table::Cell state_cell(std::string text);

}  // namespace sluice
