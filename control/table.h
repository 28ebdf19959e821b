// Text in aligned columns, for people.
#pragma once

#include <string>
#include <vector>

namespace sluice {

class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell for each column. Control characters are shown as '?', an empty cell as '-'.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  /// Title line and rows, two spaces between columns, without spaces at line ends; "" if there are no rows.
  std::string render() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sluice
