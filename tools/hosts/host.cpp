// Draws from a folder that `ar_zoo.export` wrote, with LiteRT's C API and no Python. README.md explains the loop.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>

#include "artifact.h"
#include "decode.h"
#include "litert.h"
#include "noise.h"

// One copy of the loop. The place of a site, ((index - lag) mod period) / share, moves either side on.
struct Copy {
  struct Side {
    char* data;
    long row = 0, place = 0;  // bytes to the next row, to the next place
  } to, from;
  long bytes, rows = 1, lag = 0, period = 1, share = 1;
  void run(long index) const {
    const long place = (index - lag + period) % period / share;
    for (long row = 0; row < rows; ++row)
      std::memcpy(to.data + row * to.row + place * to.place, from.data + row * from.row + place * from.place, bytes);
  }
};
void run(const std::vector<Copy>& copies, long index) { for (auto& copy : copies) copy.run(index); }

class Loop {
 public:
  const long batch, width;  // rows; numbers in a symbol

  Loop(Graph& step, Graph* block, const Json& manifest)
      : batch(manifest["batch_size"].number), width(product(manifest["site_shape"].numbers())), step_(step),
        block_(block), block_size_(block ? manifest["block_sizes"].numbers().at(0) : 0) {
    for (auto& [name, state] : manifest["states"].fields) {
      const std::string kind = state["kind"].text;
      const long entry = 4 * product(state["shape"].numbers());
      if (kind == "DelayLine") plan_delay_line(name, state, entry);
      else if (kind == "Link") plan_link(name, state, entry);
      else if (kind == "KeyValue") plan_key_value(name, state);
      else if (kind == "State") plan_state(name, state);
      else refuse("This host knows no state of the kind " + kind + ", which manifest.json gives for " + name + ".");
    }
  }

  // Draws x [batch, sites, width]; `rows` are the rows' numbers in the whole sample, for their noise.
  void run(std::vector<int32_t>& x, long sites, uint64_t seed, const std::vector<long>& rows) {
    auto in = [&](const char* name) { return find(step_.in, name); };
    const Tensor *prev = in("prev"), *index_in = in("index"), *noise_in = in("noise");
    const long places = noise_in ? product(noise_in->shape, 1) : 0;
    const int32_t* drawn = step_.out.at("symbols").symbols();
    for (auto& [tensor, value] : fills_) tensor.fill(value);
    for (long index = 0; index < sites; ++index) {
      if (block_size_ && index % block_size_ == 0) begin(x, sites, index);
      ::run(before_, index);
      for (long b = 0; b < batch; ++b)
        for (long k = 0; k < places; ++k) noise_in->floats()[b * places + k] = noise(seed, rows[b], index, k, places);
      if (prev) put_before(*prev, x, sites, index, 1);
      if (index_in) *index_in->symbols() = index;
      step_.run();
      ::run(after_, index);
      for (long b = 0; b < batch; ++b) std::copy_n(drawn + b * width, width, &x[(b * sites + index) * width]);
    }
  }

 private:
  Graph& step_;
  Graph* block_;
  const long block_size_;
  std::vector<std::pair<Tensor, double>> fills_;
  std::vector<Copy> before_, after_, into_block_, from_block_;
  std::vector<std::unique_ptr<char[]>> rings_;

  const Tensor* block_in(const std::string& name) const { return block_ ? find(block_->in, name) : nullptr; }
  const Tensor* block_out(const std::string& name) const { return block_ ? find(block_->out, name) : nullptr; }

  void plan_delay_line(const std::string& name, const Json& state, long entry) {
    const auto taps = state["taps"].numbers();
    const long count = taps.size(), depth = *std::max_element(taps.begin(), taps.end()), all = batch * entry;
    rings_.push_back(std::make_unique<char[]>(depth * all));  // [depth, batch, entry]
    char* ring = rings_.back().get();
    fills_.push_back({{ring, {depth * all / 4}, true}, 0});
    if (auto in = find(step_.in, name + "_taps"))
      for (long i = 0; i < count; ++i)
        before_.push_back({{in->data + i * entry, count * entry}, {ring, entry, all}, entry, batch, taps[i], depth});
    after_.push_back({{ring, 0, all}, {step_.out.at(name + "_push").data}, all, 1, 0, depth});
  }

  void plan_link(const std::string& name, const Json& state, long entry) {
    const Tensor *made = block_out(name + "_block"), *again = block_in(name + "_block");
    const long size = state["size"].number;
    if (again) fills_.push_back({*again, state["fill"].number});
    if (again && made) from_block_.push_back({{again->data}, {made->data}, made->bytes()});
    if (auto site = find(step_.in, name + "_site"); site && made)  // sites share the places: two channels, one pixel
      before_.push_back(
          {{site->data, entry}, {made->data, size * entry, entry}, entry, batch, 0, block_size_, block_size_ / size});
  }

  void plan_key_value(const std::string& name, const Json& state) {
    const Tensor *here = find(step_.in, name + "_held"), *there = block_in(name + "_held"), *home = here ? here : there;
    if (!home) return;
    fills_.push_back({*home, state["fill"].number});
    if (there && there != home) into_block_.push_back({{there->data}, {home->data}, home->bytes()});
    const size_t axis = state["axis"].number + 1;
    const long entry = 4 * product(home->shape, axis + 1), row = home->shape[axis] * entry;
    if (auto made = find(step_.out, name + "_new"))
      after_.push_back({{home->data, row, entry}, {made->data, entry}, entry, home->bytes() / row, 0, 1L << 40});
  }

  void plan_state(const std::string& name, const Json& state) {
    const Tensor *here = find(step_.in, name), *there = block_in(name), *home = here ? here : there;
    const Tensor* begun = block_out(name);
    for (auto tensor : {here, there}) {
      if (tensor) fills_.push_back({*tensor, state["fill"].number});
      if (tensor && begun) from_block_.push_back({{tensor->data}, {begun->data}, begun->bytes()});
    }
    if (auto made = find(step_.out, name); made && home) {
      after_.push_back({{home->data}, {made->data}, made->bytes()});
      if (there && there != home) into_block_.push_back({{there->data}, {home->data}, home->bytes()});
    }
  }

  void begin(const std::vector<int32_t>& x, long sites, long index) {
    ::run(into_block_, index);
    if (auto prev = find(block_->in, "prev")) put_before(*prev, x, sites, index, block_size_);
    if (auto index_in = find(block_->in, "index")) *index_in->symbols() = index;
    block_->run();
    ::run(from_block_, index);
  }

  // The `count` symbols before a site; -1 where nothing came before.
  void put_before(const Tensor& prev, const std::vector<int32_t>& x, long sites, long index, long count) const {
    if (!index) return prev.fill(-1);
    for (long b = 0; b < batch; ++b)
      std::copy_n(&x[(b * sites + index - count) * width], count * width, prev.symbols() + b * count * width);
  }
};

void draw(std::map<std::string, std::string> given, const std::string& folder) {
  auto number = [&](const std::string& name, double low, double high, bool whole = true) {
    char* end = nullptr;
    const double value = std::strtod(given[name].c_str(), &end);
    if (given[name].empty() || *end || !(value >= low && value <= high) || (whole && value != std::floor(value)))
      refuse("`--" + name + "` must be " + (whole ? "an integer" : "a number") + " from " + std::to_string(long(low)) +
             " to " + std::to_string(long(high)) + "; got \"" + given[name] + "\".");
    return value;
  };
  const Json manifest = read_manifest(folder);
  const Handle environment = litert();
  std::vector<std::unique_ptr<Graph>> graphs;
  auto open = [&](const std::string& name) {
    const std::string path = checked(folder, manifest, name);
    return graphs.emplace_back(std::make_unique<Graph>(environment, path, manifest["endpoints"][name])).get();
  };
  Graph *step = open("sample_step"), *block = manifest["endpoints"].find("begin_block") ? open("begin_block") : nullptr;
  auto fill = [&](const std::string& name, double value) {  // what stays the same for all sites
    for (auto& graph : graphs)
      if (auto tensor = find(graph->in, name)) tensor->fill(value);
  };
  const std::string label = given["label"];
  if (!label.empty() && !manifest["context"].find("label")) refuse("`--label`: this model takes none. Leave it out.");
  for (auto& [name, spec] : manifest["context"].fields)
    fill(name, name == "label" && !label.empty() ? number(name, 0, spec["num_classes"].number) : spec["null"].number);
  fill("temperature", number("temperature", 0, 1e6, false));
  const Json &limit = manifest["max_sites"], &free = manifest["event_shape"].items.at(0);
  const long most = limit.is_null() ? 1L << 30 : limit.number, exported = manifest["num_sites"].number;
  const long sites = given["num-sites"].empty() ? exported : number("num-sites", free.is_null() ? 1 : exported, most);
  const long num = number("num", 1, 1e6), seed = number("seed", 0, 0x1p53);
  const long rate = given["rate"].empty() ? sample_rate(manifest) : number("rate", 1, 1e6);
  Loop loop(*step, block, manifest);
  std::vector<int32_t> x(loop.batch * sites * loop.width), drawn;
  const auto start = std::chrono::steady_clock::now();
  for (long first = 0; first < num; first += loop.batch) {
    std::vector<long> rows;  // a last batch that is not full repeats the last row
    for (long b = 0; b < loop.batch; ++b) rows.push_back(std::min(first + b, num - 1));
    loop.run(x, sites, seed, rows);
    drawn.insert(drawn.end(), x.begin(), x.begin() + std::min(loop.batch, num - first) * sites * loop.width);
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::cerr << "drew " << num << " of " << sites << " sites in " << took << " s" << std::endl;
  for (long i = 0; i < num; ++i)
    write(&drawn[i * sites * loop.width], sites, loop.width, manifest, given["out"] + "_" + std::to_string(i), rate);
  if (auto file = given["symbols"]; !file.empty())  // int32, to compare with another engine's
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(drawn.data()), 4 * drawn.size());
}

int main(int count, char** words) try {
  std::map<std::string, std::string> given{{"num", "1"}, {"seed", "0"}, {"temperature", "1"}, {"label", ""},
                                           {"num-sites", ""}, {"rate", ""}, {"out", "out"}, {"symbols", ""}};
  bool known = count >= 2 && count % 2 == 0;
  for (int i = 2; known && i < count; i += 2)
    if ((known = std::strncmp(words[i], "--", 2) == 0 && given.count(words[i] + 2))) given[words[i] + 2] = words[i + 1];
  if (known) return draw(given, words[1]), 0;
  return std::cerr << "usage: host FOLDER [--num 1] [--seed 0] [--temperature 1] [--label L] [--num-sites N] "
                      "[--rate HZ] [--out out] [--symbols FILE]\n", 2;
} catch (const std::exception& error) {
  std::cerr << "host: " << error.what() << std::endl;
  return 1;
}
