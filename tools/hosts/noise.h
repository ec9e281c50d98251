// What samples are made of: a pure function of seed, row and site. The test vectors stand in README.md.
#pragma once

#include <cstdint>

// The uniform number in (0, 1) of one place of a site's noise: Philox 4x64 with ten rounds, as in ar_zoo/core/noise.py.
inline float noise(uint64_t seed, uint64_t row, long site, long place, long places) {
  uint64_t key[2] = {seed, row}, word[4] = {static_cast<uint64_t>(site * ((places + 3) / 4) + place / 4 + 1), 0, 0, 0};
  for (int round = 0; round < 10; ++round) {
    const auto first = static_cast<unsigned __int128>(0xD2E7470EE14C6C93) * word[0];
    const auto second = static_cast<unsigned __int128>(0xCA5A826395121157) * word[2];
    const uint64_t new0 = static_cast<uint64_t>(second >> 64) ^ word[1] ^ key[0];
    const uint64_t new2 = static_cast<uint64_t>(first >> 64) ^ word[3] ^ key[1];
    word[0] = new0, word[1] = static_cast<uint64_t>(second), word[2] = new2, word[3] = static_cast<uint64_t>(first);
    key[0] += 0x9E3779B97F4A7C15, key[1] += 0xBB67AE8584CAA73B;
  }
  return (static_cast<float>(word[place % 4] >> 41) + 0.5f) * 0x1p-23f;
}
