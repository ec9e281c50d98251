// LiteRT in WebAssembly, from the npm package @litertjs/core, and one exported graph in it.
//
// The package's own `run` checks every tensor again at every call, which takes longer than a step of these models; so
// the bindings below it are used, at the exact version that package.json names.

const TYPES = { float32: Float32Array, int32: Int32Array };
const ELEMENT_TYPES = { float32: 1, int32: 2 }; // LiteRT's enumeration
// A module that uses relaxed SIMD: browsers that refuse it get LiteRT without.
const RELAXED_SIMD = "0061736d010000000105016000017b030201000a0f010d004101fd0f4102fd0ffd80020b";

/**
 * Starts LiteRT, on one thread. For a classic worker: LiteRT's script is loaded with `importScripts`.
 *
 * @param {string} folder address of its files, ending in a slash.
 */
export async function startLiteRt(folder) {
  const probe = Uint8Array.from(RELAXED_SIMD.match(/../g), (byte) => parseInt(byte, 16));
  const script = `${folder}litert_wasm_${WebAssembly.validate(probe) ? "" : "compat_"}internal.js`;
  const said = [];
  const note = (line) => said.push(line) > 4 && said.shift(); // the last notes are for error messages
  try {
    importScripts(script);
    const wasm = await self.ModuleFactory({ locateFile: (file) => folder + file, print: note, printErr: note });
    return { wasm, environment: wasm.LiteRtEnvironment.create(null), said };
  } catch (error) {
    throw new Error(`LiteRT does not start from ${script}: ${error.message}. Write the page again with \`ar-zoo web\`.`);
  }
}

/** A tensor's own memory as an array, which WebAssembly moves when its memory grows. */
class Tensor {
  constructor(wasm, slot) {
    this.shape = slot.shape;
    this.length = slot.shape.reduce((product, size) => product * size, 1);
    this._wasm = wasm;
    this._type = TYPES[slot.dtype];
    this._pointer = 0;
  }

  /** Where the numbers are now: look it up again after each run. */
  get array() {
    const memory = this._wasm.HEAPU8.buffer;
    if (this._view?.buffer !== memory) this._view = new this._type(memory, this._pointer, this.length);
    return this._view;
  }

  moveTo(pointer) {
    if (pointer === this._pointer) return;
    this._pointer = pointer;
    this._view = undefined;
  }
}

/** A TFLite file: fill `inputs[name].array`, call `run()`, read `outputs[name].array`. Inputs keep their values. */
export class Graph {
  /**
   * @param {object} litert what `startLiteRt` gave.
   * @param {Uint8Array} bytes the file.
   * @param {object} endpoint its entry in the manifest.
   * @param {string} name what to call it in error messages.
   */
  static async open(litert, bytes, endpoint, name) {
    const { wasm, environment } = litert;
    const pointer = wasm._malloc(bytes.length); // the graph reads its weights there for as long as it lives
    wasm.HEAPU8.set(bytes, pointer);
    try {
      const model = wasm.loadModel(environment, pointer, bytes.length);
      const options = { environment, accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {} };
      return new Graph(litert, model, await wasm.compileModel(environment, model, options), endpoint, name);
    } catch (error) {
      throw new Error(`${name} does not open in LiteRT: ${error.message} ${litert.said.join(" ")}`);
    }
  }

  constructor({ wasm, environment }, model, compiled, endpoint, name) {
    this._modes = wasm.LiteRtTensorBufferLockMode;
    this._compiled = compiled;
    this._taken = []; // output buffers of the last run: LiteRT makes new ones at every run
    const tensors = (slots, typeOf) =>
      slots.map((slot, index) => {
        checkType(typeOf.call(model, 0, index), slot, name);
        return new Tensor(wasm, slot);
      });
    const inputs = tensors(endpoint.inputs, model.getInputTensorType);
    this._outputs = tensors(endpoint.outputs, model.getOutputTensorType);
    this._buffers = inputs.map((tensor, index) => {
      const type = model.getInputTensorType(0, index);
      const host = wasm.LiteRtTensorBufferType.HOST_MEMORY;
      const buffer = wasm.LiteRtTensorBuffer.createManaged(environment, host, type, type.bytes());
      tensor.moveTo(this._pointer(buffer, this._modes.WRITE));
      tensor.array.fill(0);
      return buffer;
    });
    const named = (slots, list) => Object.fromEntries(slots.map((slot, index) => [slot.name, list[index]]));
    this.inputs = named(endpoint.inputs, inputs);
    this.outputs = named(endpoint.outputs, this._outputs);
  }

  run() {
    for (const buffer of this._taken) buffer.delete();
    this._taken = this._compiled.run(0, this._buffers);
    this._taken.forEach((buffer, index) => this._outputs[index].moveTo(this._pointer(buffer, this._modes.READ)));
  }

  _pointer(buffer, mode) {
    const pointer = buffer.lock(mode);
    buffer.unlock(); // host memory stays where it is
    return pointer;
  }
}

function checkType(type, slot, name) {
  const layout = type.layout();
  const dimensions = layout.dimensions();
  const shape = Array.from({ length: dimensions.size() }, (_, axis) => dimensions.get(axis));
  const fits = type.elementType().value === ELEMENT_TYPES[slot.dtype] && String(shape) === String(slot.shape);
  for (const owned of [dimensions, layout, type]) owned.delete();
  if (!fits) throw new Error(`\`${slot.name}\` is [${shape}] in the file, ${slot.dtype} [${slot.shape}] in its manifest.`);
}
