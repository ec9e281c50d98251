// A model as the page sees it: a worker that answers.

/** An exported model in a worker of its own, so that the page stays responsive. */
export class Model {
  /** @param {string} folder address of the export. */
  constructor(folder) {
    this.folder = new URL(folder.endsWith("/") ? folder : `${folder}/`, document.baseURI).href;
    this._tasks = new Map();
    this._next = 0;
  }

  /** Opens the model if it is not open, and gives the export's manifest. After an error the next call tries again. */
  async open() {
    this._opening ??= this._open();
    try {
      return await this._opening;
    } catch (error) {
      this._opening = undefined;
      throw error;
    }
  }

  async _open() {
    this._worker?.terminate();
    this._worker = new Worker(new URL("worker.js", import.meta.url));
    this._worker.onmessage = ({ data }) => this._tasks.get(data.id)?.(data);
    this._worker.onerror = (event) => {
      const error = `The page's worker failed: ${event.message ?? "its files are missing"}. Write the page again with \`ar-zoo web\`.`;
      for (const [id, answer] of this._tasks) answer({ id, error });
    };
    return (await this._ask("open", { folder: this.folder })).manifest;
  }

  /**
   * Draws one event; `Runtime.draw` says what a request holds.
   *
   * @param {object} request also `slow`: a few sites a frame, to watch.
   * @param {(piece: {start: number, symbols: Int32Array}) => void} show is called with each piece.
   * @returns {Promise<{x: Int32Array, milliseconds: number} | {stopped: true}>}
   */
  async draw(request, show = () => {}) {
    await this.open();
    return this._ask("draw", request, show);
  }

  /** Bits of each site of an event, given the sites before it: Float32Array. */
  async bits(x, context) {
    await this.open();
    const { logProbs } = await this._ask("score", { x, context });
    return logProbs.map((nats) => -nats / Math.LN2);
  }

  /** Ends the drawing that is going on; its `draw` then gives `{stopped: true}`. */
  async stop() {
    if (this._worker) await this._ask("stop", {});
  }

  _ask(task, request, show) {
    const id = this._next++;
    return new Promise((resolve, reject) => {
      this._tasks.set(id, ({ piece, error, done }) => {
        if (piece) return show(piece);
        this._tasks.delete(id);
        return error === undefined ? resolve(done) : reject(new Error(error));
      });
      this._worker.postMessage({ id, task, ...request });
    });
  }
}
