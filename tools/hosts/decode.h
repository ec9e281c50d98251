// What symbols stand for: into a picture, a sound, or text.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>

#include "json.h"

// Samples of sound a second: the manifest's, or what telephones have.
inline long sample_rate(const Json& manifest) {
  const Json* rate = manifest.find("sample_rate");
  return rate && !rate->is_null() ? rate->number : 8000;
}

// One event as a picture, a sound, or text on stdout, by the manifest's table of what each symbol stands for.
inline void write(const int32_t* x, long sites, long width, const Json& manifest, const std::string& out, long rate) {
  const Json& head = manifest["head"];
  const Json *table = head["decode"].find("table"), *alphabet = head["decode"].find("alphabet");
  const Json* levels = head["config"].find("source_levels");
  const double top = (levels && !levels->is_null() ? levels->number : head["num_symbols"].number) - 1;
  auto raw = [&](long i) { return table ? table->items.at(x[i]).number : x[i]; };
  std::string bytes;
  auto put = [&](uint32_t value, int count) { while (count--) bytes += static_cast<char>(value), value >>= 8; };
  if (const auto grid = manifest["grid"].numbers(); grid.size() == 3) {  // channels go side by side, unless RGB
    const bool color = grid[2] * width == 3;
    bytes = (color ? "P6 " : "P5 ") + std::to_string(grid[1] * (color ? 1 : grid[2] * width)) + " " +
            std::to_string(grid[0]) + " 255\n";
    for (long i = 0; i < sites * width; ++i) put(std::nearbyint(raw(i) * (255 / top)), 1);
    std::ofstream(out + (color ? ".ppm" : ".pgm"), std::ios::binary) << bytes;
  } else if (table) {
    bytes = "RIFF", put(36 + 2 * sites, 4), bytes += "WAVEfmt ", put(16, 4), put(1, 2), put(1, 2), put(rate, 4);
    put(2 * rate, 4), put(2, 2), put(16, 2), bytes += "data", put(2 * sites, 4);
    for (long i = 0; i < sites; ++i) put(std::clamp(std::nearbyint(raw(i) * 32768), -32768.0, 32767.0), 2);
    std::ofstream(out + ".wav", std::ios::binary) << bytes;
  } else {
    const auto letters = alphabet ? characters(alphabet->text) : std::vector<std::string>();
    for (long i = 0; i < sites * width; ++i) bytes += alphabet ? letters.at(x[i]) : std::to_string(x[i]) + " ";
    std::cout << bytes << std::endl;
  }
}
