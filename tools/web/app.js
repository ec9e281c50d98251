// The page: a section for each kind of model that page.json names.

import { fetchJson } from "./artifact.js";
import { Model } from "./client.js";
import { imageSection } from "./image.js";
import { soundSection } from "./sound.js";
import { textSection } from "./text.js";

const SECTIONS = { image: imageSection, sound: soundSection, text: textSection };

/** A section's parts, and the rules that all sections share: one drawing at a time, errors shown where they arise. */
class Section {
  constructor(element, entries) {
    this.element = element;
    this.form = element.querySelector("form");
    this.fields = this.form.elements;
    this.status = element.querySelector(".status");
    this._problem = element.querySelector(".problem");
    this._models = entries.map((entry) => ({ entry, model: new Model(entry.folder) }));
    this._runs = 0;
    this.fields.model.append(...entries.map(({ name }, index) => new Option(name, index)));
    this.fields.model.parentElement.hidden = entries.length < 2;
    this.fields.temperature.addEventListener("input", () => this._showTemperature());
    this.fields.stop.addEventListener("click", () => this.guard(() => this.model.stop()));
    this._showTemperature(); // browsers keep what was set before a reload
    element.hidden = false;
  }

  get entry() {
    return this._models[this.fields.model.value].entry;
  }

  get model() {
    return this._models[this.fields.model.value].model;
  }

  get temperature() {
    return Number(this.fields.temperature.value);
  }

  get seed() {
    const given = this.fields.seed.value.trim();
    if (!/^\d+$/.test(given)) throw new Error(`The seed must be a whole number of at least 0; got “${given}”.`);
    return BigInt(given);
  }

  query(selector) {
    return this.element.querySelector(selector);
  }

  /** Opens the model, with a note while that takes time, and says what it is. */
  async open() {
    this.query(".about").textContent = this.entry.about;
    this.status.textContent = `Loading ${this.entry.name} …`;
    const manifest = await this.model.open();
    this.status.textContent = "Ready.";
    return manifest;
  }

  /** Runs what a button asks for, after ending what went on before; shows an error in place of throwing it. */
  async guard(action) {
    this._problem.hidden = true;
    try {
      await action();
    } catch (error) {
      this._problem.textContent = error.message;
      this._problem.hidden = false;
      this.status.textContent = "";
    }
  }

  /** One drawing: the model is opened, Stop works meanwhile. Of two that overlap, the later one counts. */
  draw(action) {
    return this.guard(async () => {
      const mine = ++this._runs;
      await this.model.stop();
      this.fields.stop.disabled = false;
      try {
        await this.open();
        if (mine === this._runs) await action(() => mine === this._runs);
      } finally {
        if (mine === this._runs) this.fields.stop.disabled = true;
      }
    });
  }

  /** “1,024 pixels in 0.2 s: 5,120 pixels/s” */
  report(count, unit, milliseconds, more = "") {
    const rate = Math.round((count / milliseconds) * 1000);
    const seconds = (milliseconds / 1000).toFixed(2);
    this.status.textContent = `${count.toLocaleString("en")} ${unit} in ${seconds} s: ${rate.toLocaleString("en")} ${unit}/s${more}`;
    this.element.dataset.rate = rate;
  }

  _showTemperature() {
    this.fields.shown.value = this.temperature.toFixed(2);
  }
}

async function start() {
  const problem = document.querySelector("#problem");
  try {
    const page = await fetchJson(new URL("page.json", document.baseURI).href);
    for (const [kind, fill] of Object.entries(SECTIONS)) {
      const entries = page.models.filter((entry) => entry.kind === kind);
      if (!entries.length) continue;
      const section = new Section(document.querySelector(`#${kind}`), entries);
      const link = document.createElement("a");
      [link.href, link.textContent] = [`#${kind}`, section.query("h2").textContent];
      document.querySelector("nav").append(link);
      section.guard(() => fill(section));
    }
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
}

start();
