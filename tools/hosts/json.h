// Reads JSON (RFC 8259), as much as a manifest needs: a value is null, true or false, a number, a string, a list or an
// object. An app takes its platform's reader instead.
#pragma once

#include <cctype>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct Json {
  enum Kind { kNull, kBool, kNumber, kString, kList, kObject } kind = kNull;
  double number = 0;
  std::string text;                                  // UTF-8
  std::vector<Json> items;                           // of a list
  std::vector<std::pair<std::string, Json>> fields;  // of an object, in the file's order

  bool is_null() const { return kind == kNull; }
  const Json* find(const std::string& name) const {
    for (auto& field : fields)
      if (field.first == name) return &field.second;
    return nullptr;
  }
  const Json& operator[](const std::string& name) const {
    if (auto found = find(name)) return *found;
    throw std::runtime_error("manifest.json is damaged or not an export's: it has no \"" + name + "\".");
  }
  std::vector<long> numbers() const {
    std::vector<long> values;
    for (auto& item : items) values.push_back(static_cast<long>(item.number));
    return values;
  }
};

class JsonReader {
 public:
  static Json read(const std::string& text) {
    JsonReader reader{text};
    Json value = reader.value(0);
    reader.skip();
    if (reader.at_ != text.size()) reader.fail("the end");
    return value;
  }

 private:
  const std::string& text_;
  size_t at_ = 0;

  explicit JsonReader(const std::string& text) : text_(text) {}

  [[noreturn]] void fail(const std::string& wanted) const {
    throw std::runtime_error("manifest.json is cut short or damaged: at byte " + std::to_string(at_) +
                             " should be " + wanted + ".");
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool taken(const std::string& word) {
    skip();
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }
  void take(const std::string& word) {
    if (!taken(word)) fail(word);
  }

  Json value(int depth) {
    Json json;
    if (depth > 100) fail("less deeply nested");
    if (taken("{")) {
      json.kind = Json::kObject;
      for (bool more = !taken("}"); more; more = !taken("}")) {
        if (!json.fields.empty()) take(",");
        skip();
        std::string name = string();
        take(":");
        json.fields.emplace_back(name, value(depth + 1));
      }
    } else if (taken("[")) {
      json.kind = Json::kList;
      for (bool more = !taken("]"); more; more = !taken("]")) {
        if (!json.items.empty()) take(",");
        json.items.push_back(value(depth + 1));
      }
    } else if (peek() == '"') {
      json.kind = Json::kString;
      json.text = string();
    } else if (taken("null")) {
      json.kind = Json::kNull;
    } else if (taken("true")) {
      json.kind = Json::kBool, json.number = 1;
    } else if (taken("false")) {
      json.kind = Json::kBool;
    } else {
      char* end = nullptr;
      json.kind = Json::kNumber;
      json.number = std::strtod(text_.c_str() + at_, &end);
      if (end == text_.c_str() + at_) fail("a value");
      at_ = end - text_.c_str();
    }
    return json;
  }

  std::string string() {
    std::string found;
    if (peek() != '"') fail("a string");
    for (++at_; peek() != '"'; ++at_) {
      if (at_ >= text_.size()) fail("the end of a string");
      if (peek() != '\\') {
        found += peek();
        continue;
      }
      ++at_;
      const std::string letters = "bfnrt", meant = "\b\f\n\r\t";
      if (auto place = letters.find(peek()); peek() != '\0' && place != std::string::npos) {
        found += meant[place];
      } else if (peek() == 'u') {
        unsigned code = hex();
        if (code >= 0xD800 && code < 0xDC00) {  // the first half of a pair
          if (text_.compare(at_ + 1, 2, "\\u") != 0) fail("the second half of a pair");
          at_ += 2;
          code = 0x10000 + ((code - 0xD800) << 10) + (hex() - 0xDC00);
        }
        append_utf8(found, code);
      } else {
        found += peek();
      }
    }
    ++at_;
    return found;
  }

  unsigned hex() {  // leaves `at_` on the last digit
    const std::string digits = text_.substr(at_ + 1, 4);
    if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) fail("\\uXXXX");
    at_ += 4;
    return static_cast<unsigned>(std::stoul(digits, nullptr, 16));
  }
  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
      return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    out += static_cast<char>(lead[more] | code >> (6 * more));
    while (more--) out += static_cast<char>(0x80 | (code >> (6 * more) & 0x3F));
  }
};

// The characters of a text in UTF-8, one by one.
inline std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> found;
  for (char byte : text)
    if ((byte & 0xC0) == 0x80 && !found.empty()) found.back() += byte;
    else found.emplace_back(1, byte);
  return found;
}
