// Text: a prompt, continued character by character.

/** Fills the section: prompt, options, the page of text. */
export async function textSection(section) {
  const { fields } = section;
  const [begun, written] = [section.query(".page b"), section.query(".page span")];

  async function write() {
    await section.draw(async (current) => {
      const { head, max_sites: limit } = await section.model.open();
      const alphabet = Array.from(head.decode.alphabet);
      const prompt = fields.prompt.value.replaceAll("\r\n", "\n");
      const symbols = encode(prompt, alphabet);
      const total = symbols.length + Number(fields.sites.value);
      const request = { symbols, total, limit, seed: section.seed, temperature: section.temperature };
      [begun.textContent, written.textContent] = [prompt, ""];
      section.status.textContent = "Writing …";
      const milliseconds = await continueText(section.model, request, (piece) => {
        if (current()) written.append(Array.from(piece, (symbol) => alphabet[symbol]).join(""));
      });
      if (!current()) return;
      if (milliseconds === undefined) section.status.textContent = "Stopped.";
      else section.report(total - symbols.length, "characters", milliseconds);
    });
  }

  section.form.addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  fields.model.addEventListener("change", () => section.guard(() => section.open()));
  section.query(".about").textContent = section.entry.about;
}

function encode(text, alphabet) {
  const symbols = Array.from(text, (character) => alphabet.indexOf(character));
  const unknown = new Set(Array.from(text).filter((_, at) => symbols[at] < 0));
  if (!unknown.size) return Int32Array.from(symbols);
  const named = [...unknown].map((character) => `“${character}”`).join(", ");
  throw new Error(`The model does not know ${named}. It was trained on these characters: ${alphabet.join("").trim()}`);
}

/**
 * A text of any length, as `draw_text` of `ar_zoo/drawing.py` draws it: beyond `limit` characters each window goes on from
 * the last half of the one before, with the next seed.
 *
 * @returns {Promise<number | undefined>} milliseconds that the model worked; undefined, if it was stopped.
 */
async function continueText(model, { symbols, total, limit, seed, temperature }, show) {
  const window = limit ?? total;
  const overlap = Math.min(Math.floor(window / 2) + 1, window - 1);
  let [text, milliseconds] = [symbols, 0];
  for (let turn = 0n; text.length < total; turn++) {
    const start = text.length >= window ? text.length - overlap : 0;
    const request = { seed: seed + turn, temperature, given: text.slice(start), sites: Math.min(window, total - start) };
    const drawn = await model.draw(request, (piece) => show(piece.symbols));
    if (drawn.stopped) return undefined;
    text = Int32Array.of(...text.subarray(0, start), ...drawn.x);
    milliseconds += drawn.milliseconds;
  }
  return milliseconds;
}
