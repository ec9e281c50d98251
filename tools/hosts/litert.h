// LiteRT's C API, as much as a host needs, and one exported graph in it. The wheel `ai-edge-litert` carries
// libLiteRt.so and no headers: the functions are declared here, as release 2.3 exports them.
//
// Release 2.3 is what setup.cfg pins. `LiteRtCreateModelFromFile` had no environment before it: look at the
// functions again, in litert/c/*.h of github.com/google-ai-edge/LiteRT, before another release is linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "artifact.h"

typedef struct LiteRtHandle* Handle;
struct LiteRtSetting {
  int tag;
  struct {
    int type;
    int64_t value;
  } value;
};

extern "C" {
// Each returns 0 or the number of an error.
int LiteRtCreateEnvironment(int num_settings, const LiteRtSetting* settings, Handle* environment);
int LiteRtCreateModelFromFile(Handle environment, const char* path, Handle* model);
int LiteRtCreateOptions(Handle* options);
int LiteRtSetOptionsHardwareAccelerators(Handle options, int accelerators);  // 1: the CPU, with XNNPACK
int LiteRtCreateCompiledModel(Handle environment, Handle model, Handle options, Handle* compiled);
int LiteRtAddExternalTensorBinding(Handle options, const char* signature, const char* tensor, void* data, size_t bytes);
int LiteRtGetModelSignature(Handle model, size_t index, Handle* signature);
int LiteRtGetSignatureKey(Handle signature, const char** key);
int LiteRtGetNumSignatureInputs(Handle signature, size_t* count);
int LiteRtGetNumSignatureOutputs(Handle signature, size_t* count);
int LiteRtGetSignatureInputName(Handle signature, size_t index, const char** name);
int LiteRtGetSignatureOutputTensorByIndex(Handle signature, size_t index, Handle* tensor);
int LiteRtGetRankedTensorType(Handle tensor, void* type);  // a struct of 72 bytes, which is only passed on
int LiteRtGetCompiledModelOutputBufferRequirements(Handle compiled, size_t signature, size_t index, Handle* needs);
int LiteRtCreateManagedTensorBufferFromRequirements(Handle environment, const void* type, Handle needs, Handle* buffer);
int LiteRtGetTensorBufferPackedSize(Handle buffer, size_t* bytes);
int LiteRtGetTensorBufferHostMemory(Handle buffer, void** memory);
int LiteRtRunCompiledModel(Handle compiled, size_t signature, size_t inputs, Handle* in, size_t outputs, Handle* out);
}

inline void ok(int status, const std::string& what) {
  if (status) refuse("LiteRT cannot " + what + ": error " + std::to_string(status) + ".");
}
inline long product(const std::vector<long>& shape, size_t first = 0) {
  long all = 1;
  for (size_t i = first; i < shape.size(); ++i) all *= shape[i];
  return all;
}

struct Tensor {  // a graph's own memory; all that is exported has items of 4 bytes
  char* data;
  std::vector<long> shape;
  bool whole;  // int32, or float32
  long bytes() const { return 4 * product(shape); }
  int32_t* symbols() const { return reinterpret_cast<int32_t*>(data); }
  float* floats() const { return reinterpret_cast<float*>(data); }
  void fill(double value) const {
    for (long i = 0; i < bytes() / 4; ++i) whole ? void(symbols()[i] = value) : void(floats()[i] = value);
  }
};

inline Handle litert() {
  // The CPU alone is looked for (24), and errors alone are written to stderr (25): LiteRT has a line for each run else.
  const LiteRtSetting settings[] = {{24, {2, 1}}, {25, {2, 3}}};
  Handle environment;
  ok(LiteRtCreateEnvironment(2, settings, &environment), "start");
  return environment;
}

struct Graph {  // a TFLite file, opened; XNNPACK runs it on one thread, which is fastest for graphs this small
  std::map<std::string, Tensor> in, out;

  Graph(Handle environment, const std::string& path, const Json& endpoint) {
    Handle model, options, signature;
    const char* key;
    ok(LiteRtCreateModelFromFile(environment, path.c_str(), &model), "read " + path);
    ok(LiteRtGetModelSignature(model, 0, &signature) || LiteRtGetSignatureKey(signature, &key), "read " + path);
    ok(LiteRtCreateOptions(&options) || LiteRtSetOptionsHardwareAccelerators(options, 1), "make options");
    const auto &inputs = endpoint["inputs"].items, &outputs = endpoint["outputs"].items;
    size_t count_in, count_out;
    ok(LiteRtGetNumSignatureInputs(signature, &count_in), "count inputs");
    ok(LiteRtGetNumSignatureOutputs(signature, &count_out), "count outputs");
    if (inputs.size() != count_in || outputs.size() != count_out) disagree(path, "how many tensors there are");
    // Slots are told apart by their order: LiteRT knows several outputs that are one tensor by one name only.
    for (size_t i = 0; i < count_in; ++i) {  // bound once, which is faster than at every run
      const char* name;
      auto& lines = memory_.emplace_back(product(inputs[i]["shape"].numbers()) / 16 + 1);
      const Tensor tensor = made(inputs[i], lines[0].bytes);
      ok(LiteRtGetSignatureInputName(signature, i, &name) ||
             LiteRtAddExternalTensorBinding(options, key, name, tensor.data, tensor.bytes()),
         "bind an input of " + path);
      if (inputs[i]["name"].text != name) disagree(path, inputs[i]["name"].text);
      in.emplace(name, tensor);
    }
    ok(LiteRtCreateCompiledModel(environment, model, options, &compiled_), "prepare " + path);
    std::map<Handle, std::pair<Handle, char*>> buffers;  // one for each tensor
    for (size_t i = 0; i < count_out; ++i) {
      Handle tensor;
      ok(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor), "find an output of " + path);
      auto& [buffer, memory] = buffers[tensor];
      if (!buffer) {
        Handle needs;
        void* data;
        alignas(16) char type[256] = {};
        ok(LiteRtGetRankedTensorType(tensor, type) ||
               LiteRtGetCompiledModelOutputBufferRequirements(compiled_, 0, i, &needs) ||
               LiteRtCreateManagedTensorBufferFromRequirements(environment, type, needs, &buffer) ||
               LiteRtGetTensorBufferHostMemory(buffer, &data),
           "make an output of " + path);
        memory = static_cast<char*>(data);
      }
      const Tensor found = made(outputs[i], memory);
      size_t bytes;
      ok(LiteRtGetTensorBufferPackedSize(buffer, &bytes), "measure an output of " + path);
      if (found.bytes() != static_cast<long>(bytes)) disagree(path, outputs[i]["name"].text);
      out.emplace(outputs[i]["name"].text, found);
      out_.push_back(buffer);
    }
    in_.resize(count_in);
  }
  Graph(const Graph&) = delete;  // LiteRT holds addresses in it, until the program ends

  void run() {
    ok(LiteRtRunCompiledModel(compiled_, 0, in_.size(), in_.data(), out_.size(), out_.data()), "run a graph");
  }

 private:
  struct alignas(64) Line {  // LiteRT wants memory of this alignment
    char bytes[64] = {};
  };
  std::deque<std::vector<Line>> memory_;
  std::vector<Handle> in_, out_;  // no buffers for inputs: those are bound
  Handle compiled_;

  static Tensor made(const Json& slot, char* data) {
    const std::string type = slot["dtype"].text;
    if (type != "int32" && type != "float32")
      refuse("This host knows tensors of dtype int32 and float32; " + slot["name"].text + " has " + type + ".");
    return {data, slot["shape"].numbers(), type == "int32"};
  }
  [[noreturn]] static void disagree(const std::string& path, const std::string& about) {
    refuse(path + " and its manifest disagree about " + about + ". Export it again.");
  }
};

inline const Tensor* find(const std::map<std::string, Tensor>& tensors, const std::string& name) {
  auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}
