// The folder that `ar_zoo.export` wrote: its manifest, and its files, seen to be whole before anything in them runs.
#pragma once

#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

#include "json.h"

[[noreturn]] inline void refuse(const std::string& why) { throw std::runtime_error(why); }

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path + " is missing: give a folder that `ar_zoo.export` wrote, whole.");
  return {std::istreambuf_iterator<char>(file), {}};
}

// SHA-256 (FIPS 180-4) of some bytes, in hexadecimal. An app takes its platform's instead.
inline std::string sha256(std::string bytes) {
  auto turn = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
  // The constants are the first 32 bits behind the point of the roots of the first primes.
  uint32_t k[64], h[8];
  for (int prime = 2, found = 0; found < 64; ++prime) {
    bool divides = false;
    for (int d = 2; d * d <= prime; ++d) divides = divides || prime % d == 0;
    if (divides) continue;
    auto behind_the_point = [](long double x) { return static_cast<uint32_t>((x - std::floor(x)) * 4294967296.0L); };
    if (found < 8) h[found] = behind_the_point(std::sqrt(static_cast<long double>(prime)));
    k[found++] = behind_the_point(std::cbrt(static_cast<long double>(prime)));
  }
  const uint64_t bits = bytes.size() * 8ull;
  bytes += '\x80';
  while (bytes.size() % 64 != 56) bytes += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(bits >> shift);
  for (size_t start = 0; start < bytes.size(); start += 64) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; ++i) {
      w[i] = 0;
      for (int j = 0; j < 4; ++j) w[i] = w[i] << 8 | static_cast<unsigned char>(bytes[start + 4 * i + j]);
    }
    for (int i = 16; i < 64; ++i) {
      uint32_t a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 8; ++i) v[i] = h[i];
    for (int i = 0; i < 64; ++i) {
      uint32_t e = v[4], a = v[0];
      uint32_t first = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
      uint32_t second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
      for (int j = 7; j > 0; --j) v[j] = v[j - 1];
      v[4] += first;
      v[0] = first + second;
    }
    for (int i = 0; i < 8; ++i) h[i] += v[i];
  }
  std::string digits;
  for (uint32_t word : h)
    for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[word >> shift & 15];
  return digits;
}

inline Json read_manifest(const std::string& folder) {
  const Json manifest = JsonReader::read(read_file(folder + "/manifest.json"));
  if (manifest["format_version"].number > 1)
    refuse(folder + " is of a newer format than 1, which is what this host reads. Take the host of that release.");
  return manifest;
}

// The file of an endpoint, after its size and its sha256 were compared with the manifest's.
inline std::string checked(const std::string& folder, const Json& manifest, const std::string& endpoint) {
  const Json* file = manifest["endpoints"][endpoint].find("tflite");
  if (!file) refuse(folder + " has no TFLite file for `" + endpoint + "`. Export it with formats=('tflite',).");
  if (file->text.find('/') != std::string::npos) refuse("manifest.json names a file outside its folder: " + file->text);
  const Json& fact = manifest["files"][file->text];
  const std::string path = folder + "/" + file->text, bytes = read_file(path);
  if (bytes.size() != fact["size"].number)
    refuse(path + " has " + std::to_string(bytes.size()) + " bytes, its manifest says " +
           std::to_string(static_cast<long>(fact["size"].number)) + ": it was cut short or changed. Fetch it again.");
  if (sha256(bytes) != fact["sha256"].text)
    refuse(path + " does not match its sha256: it was changed or damaged. Fetch it again.");
  return path;
}
