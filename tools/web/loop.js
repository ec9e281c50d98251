// The loop that draws an event from exported graphs, as in `ar_zoo/runtime/loop.py`, for one row:
//
//     for each block (an image's row; a model without blocks has none):
//         begin_block(the symbols of the block before)      → its new states; the links of the whole block
//     for each site:
//         copy this site's links and delay-line taps in
//         sample_step(symbols before, noise of this site)   → symbols, new states
//         keep the new states: replace, append at `index`, or push

export class Loop {
  /**
   * @param {object} manifest of the export.
   * @param {Graph} step the graph of `sample_step`.
   * @param {Graph} [beginBlock] the graph of `begin_block`.
   */
  constructor(manifest, step, beginBlock) {
    Object.assign(this, { step, beginBlock, siteSize: sizeOf(manifest.site_shape) });
    this.blockSize = manifest.block_sizes?.[0];
    this._start = []; // what to do at the start of an event
    this._beforeStep = [];
    this._afterStep = [];
    this._beforeBlock = [];
    this._afterBlock = [];
    for (const [name, state] of Object.entries(manifest.states)) {
      if (state.kind === "DelayLine") this._planDelayLine(name, state);
      else if (state.kind === "Link") this._planLink(name, state);
      else if (state.kind === "KeyValue") this._planKeyValue(name, state);
      else if (state.kind === "State") this._planState(name, state);
      else throw new Error(`${manifest.name} has a state of kind ${state.kind}, which this page does not know.`);
    }
  }

  _planState(name, state) {
    const here = this.step.inputs[name];
    const there = this.beginBlock?.inputs[name];
    const home = here ?? there;
    const [stepped, begun] = [this.step.outputs[name], this.beginBlock?.outputs[name]];
    for (const tensor of [here, there].filter(Boolean)) {
      this._start.push(() => tensor.array.fill(state.fill));
      if (begun) this._afterBlock.push(() => tensor.array.set(begun.array));
    }
    if (!stepped || !home) return;
    this._afterStep.push(() => home.array.set(stepped.array));
    if (there && there !== home) this._beforeBlock.push(() => there.array.set(home.array));
  }

  _planKeyValue(name, state) {
    const there = this.beginBlock?.inputs[`${name}_held`];
    const home = this.step.inputs[`${name}_held`] ?? there;
    if (!home) return;
    this._start.push(() => home.array.fill(state.fill));
    if (there && there !== home) this._beforeBlock.push(() => there.array.set(home.array));
    const made = this.step.outputs[`${name}_new`];
    if (made) this._afterStep.push(append(home, made, state));
  }

  _planDelayLine(name, state) {
    const size = sizeOf(state.shape);
    const depth = Math.max(...state.taps);
    const ring = new { float32: Float32Array, int32: Int32Array }[state.dtype](depth * size);
    const entries = Array.from({ length: depth }, (_, slot) => ring.subarray(slot * size, (slot + 1) * size));
    this._start.push(() => ring.fill(0));
    const taps = this.step.inputs[`${name}_taps`];
    if (taps) {
      this._beforeStep.push((index) => {
        // Before the beginning the ring holds zeros; `+ depth` keeps the remainder from being negative.
        state.taps.forEach((tap, place) => taps.array.set(entries[(index - tap + depth) % depth], place * size));
      });
    }
    const pushed = this.step.outputs[`${name}_push`];
    this._afterStep.push((index) => entries[index % depth].set(pushed.array));
  }

  _planLink(name, state) {
    const site = this.step.inputs[`${name}_site`];
    const again = this.beginBlock.inputs[`${name}_block`];
    const block = this.beginBlock.outputs[`${name}_block`];
    if (again) {
      this._start.push(() => again.array.fill(state.fill));
      this._afterBlock.push(() => again.array.set(block.array));
    }
    if (!site) return;
    // Sites of a block share its places evenly: two channels of a pixel, one place.
    const [share, size] = [this.blockSize / state.size, sizeOf(state.shape)];
    this._beforeStep.push((index) => {
      const place = Math.floor((index % this.blockSize) / share);
      site.array.set(block.array.subarray(place * size, (place + 1) * size));
    });
  }

  /**
   * Goes through the sites of an event, and yields each site's number when its symbols are in `x`.
   *
   * @param {Int32Array} x sites · numbers a site; known symbols, and drawn ones are written into it.
   * @param {Uint8Array} known one number a site: 1 keeps what is in `x`.
   * @param {number} start the first site that matters: whole blocks before it are not stepped through.
   * @param {object} inputs name → number or array, the same at all sites: contexts, temperature.
   * @param {Float32Array} noise the same number of values for each site.
   */
  *run(x, known, start, inputs, noise) {
    const { step, siteSize, blockSize } = this;
    const [sites, noiseSize] = [known.length, noise.length / known.length];
    const { prev, index: indexIn, noise: noiseIn } = step.inputs;
    this._reset(inputs);
    for (let index = 0; index < sites; index++) {
      if (blockSize) {
        const place = index % blockSize;
        if (place === 0) this._begin(index, x);
        if (index - place + blockSize <= start) continue;
      }
      for (const copy of this._beforeStep) copy(index);
      noiseIn?.array.set(noise.subarray(index * noiseSize, (index + 1) * noiseSize));
      if (index) prev?.array.set(x.subarray((index - 1) * siteSize, index * siteSize));
      else prev?.array.fill(-1);
      indexIn?.array.fill(index);
      step.run();
      for (const keep of this._afterStep) keep(index);
      if (!known[index]) x.set(step.outputs.symbols.array, index * siteSize);
      yield index;
    }
  }

  _reset(inputs) {
    for (const fill of this._start) fill();
    for (const graph of [this.step, this.beginBlock]) {
      if (graph) put(graph, inputs);
    }
  }

  _begin(index, x) {
    const { prev, index: indexIn } = this.beginBlock.inputs;
    for (const copy of this._beforeBlock) copy();
    if (index) prev?.array.set(x.subarray((index - this.blockSize) * this.siteSize, index * this.siteSize));
    else prev?.array.fill(-1);
    indexIn?.array.fill(index);
    this.beginBlock.run();
    for (const copy of this._afterBlock) copy();
  }
}

/** Fills those inputs of a graph that it takes: name → a number, or as many as it holds. */
export function put(graph, inputs) {
  for (const [name, value] of Object.entries(inputs)) {
    if (typeof value === "number") graph.inputs[name]?.array.fill(value);
    else graph.inputs[name]?.array.set(value);
  }
}

/** Puts the entry that a step gives into its slot of a key-value cache. */
function append(home, made, state) {
  const slots = state.shape[state.axis];
  const inner = sizeOf(state.shape.slice(state.axis + 1));
  const outer = sizeOf(state.shape.slice(0, state.axis));
  return (index) => {
    const [into, from] = [home.array, made.array];
    for (let row = 0; row < outer; row++) {
      into.set(from.subarray(row * inner, (row + 1) * inner), (row * slots + index) * inner);
    }
  };
}

function sizeOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
