// An exported model, asked as `ar_zoo.runtime.Runtime` is: the same seed draws the same symbols.

import { fetchGraph, fetchManifest } from "./artifact.js";
import { Graph } from "./litert.js";
import { Loop, put } from "./loop.js";
import { uniformNoise } from "./noise.js";

export class Runtime {
  /**
   * Fetches what drawing needs; `score` is fetched when it is first asked for.
   *
   * @param {object} litert what `startLiteRt` gave.
   * @param {string} folder address of an export, ending in a slash.
   */
  static async open(litert, folder) {
    const manifest = await fetchManifest(folder);
    const runtime = new Runtime(litert, folder, manifest);
    const block = manifest.block_sizes ? await runtime._graph("begin_block") : undefined;
    runtime._loop = new Loop(manifest, await runtime._graph("sample_step"), block);
    return runtime;
  }

  constructor(litert, folder, manifest) {
    Object.assign(this, { litert, folder, manifest });
  }

  async _graph(endpoint) {
    const bytes = await fetchGraph(this.folder, this.manifest, endpoint);
    return Graph.open(this.litert, bytes, this.manifest.endpoints[endpoint], `${this.folder}${endpoint}.tflite`);
  }

  /**
   * Draws one event, site by site.
   *
   * @param {object} request
   * @param {bigint} request.seed at least 0.
   * @param {number} [request.temperature] divides the logits; 0 takes the most likely symbol.
   * @param {object} [request.context] name → number or numbers; what is left out is unknown to the model.
   * @param {number} [request.sites] the length, where it is free.
   * @param {Int32Array} [request.given] symbols, from the first site on; one number a site.
   * @param {Uint8Array} [request.mask] which of them are kept; all, if left out.
   * @returns {{x: Int32Array, start: number, sites: Iterable<number>}} the event, filled in while `sites` is walked
   *     through, and the first site that is not known.
   */
  draw({ seed, temperature = 1, context = {}, sites = this.manifest.num_sites, given = [], mask }) {
    const { max_sites: limit, head, event_shape: shape, num_sites: fixed } = this.manifest;
    if (!Number.isInteger(sites) || sites < 1) throw new Error(`The length must be a whole number above 0; got ${sites}.`);
    if (!shape.includes(null) && sites !== fixed) throw new Error(`The length is fixed at ${fixed}; got ${sites}.`);
    if (limit !== null && sites > limit) throw new Error(`The length must be at most ${limit}; got ${sites}.`);
    if (!(temperature >= 0 && temperature < Infinity)) {
      throw new Error(`The temperature must be at least 0; got ${temperature}.`);
    }
    if (given.length > sites) throw new Error(`${given.length} sites are given, more than the ${sites} of the event.`);
    const size = this._loop.siteSize;
    const [x, known] = [new Int32Array(sites * size), new Uint8Array(sites)];
    for (let site = 0; site < given.length; site++) {
      if (mask && !mask[site]) continue;
      if (!(given[site] >= 0 && given[site] < head.num_symbols)) {
        throw new Error(`Symbols lie in 0..${head.num_symbols - 1}; got ${given[site]} at ${site}.`);
      }
      [x[site], known[site]] = [given[site], 1];
    }
    const unknown = known.indexOf(0);
    const start = unknown < 0 ? sites : unknown;
    const noise = uniformNoise(seed, 0, 0, sites, head.noise_shape.reduce((product, n) => product * n, 1));
    const inputs = { temperature, ...this._contexts(context) };
    return { x, start, sites: this._loop.run(x, known, start, inputs, noise) };
  }

  /**
   * Log-probabilities in nats of each site of an event, given the sites before it.
   *
   * @param {Int32Array} x symbols; shorter than exported, where the length is free.
   * @param {object} [context] as in `draw`.
   * @returns {Promise<Float32Array>}
   */
  async score(x, context = {}) {
    this._score ??= await this._graph("score");
    const { inputs, outputs } = this._score;
    if (x.length > inputs.x.length) throw new Error(`${x.length} symbols; at most ${inputs.x.length} can be scored.`);
    inputs.x.array.fill(0); // what comes later does not reach a site
    inputs.x.array.set(x);
    put(this._score, this._contexts(context));
    this._score.run();
    return outputs.site_log_prob.array.slice(0, x.length);
  }

  _contexts(context) {
    const known = Object.entries(this.manifest.context);
    return Object.fromEntries(known.map(([name, facts]) => [name, context[name] ?? facts.null]));
  }
}
