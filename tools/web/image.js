// Pictures: drawn pixel by pixel, completed from a painted top half, with a heat map of bits per pixel.

const HEAT = ["#000004", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf"].map((colour) =>
  [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)),
);
const MOST_BITS = 8; // the top of the heat map's scale, the same for all pictures so that they compare
const BRUSH = 1.3; // radius in pixels

/** Fills the section: controls, canvases and what they do. */
export async function imageSection(section) {
  const { fields } = section;
  const canvases = { drawn: section.query(".drawn"), heat: section.query(".heat"), paint: section.query(".paint") };
  let picture; // sizes and levels of the model that is open
  let painting; // Float32Array, 0 … 1, the top half
  let last; // the last finished picture, as symbols

  async function prepare() {
    // The buttons work on a model that is open: a failure leaves them without one.
    const buttons = section.element.querySelectorAll("button:not([name=stop])");
    buttons.forEach((control) => (control.disabled = true));
    const manifest = await section.open();
    picture = describe(manifest);
    painting = new Float32Array((picture.height >> 1) * picture.width);
    last = undefined;
    for (const canvas of Object.values(canvases)) [canvas.width, canvas.height] = [picture.width, picture.height];
    offerClasses(section.query(".classes"), picture);
    showPainting(canvases.paint, painting, picture);
    buttons.forEach((control) => (control.disabled = false));
  }

  async function draw(given) {
    await section.draw(async (current) => {
      const label = section.query(".classes input:checked")?.value;
      const context = label ? { [picture.contextName]: Number(label) } : {};
      const { seed, temperature } = section;
      const paint = canvases.drawn.getContext("2d");
      paint.clearRect(0, 0, picture.width, picture.height);
      canvases.heat.getContext("2d").clearRect(0, 0, picture.width, picture.height);
      section.query(".mean").textContent = "";
      putPixels(paint, picture, 0, given ?? []);
      section.status.textContent = "Drawing …";
      const drawn = await section.model.draw({ seed, temperature, context, given, slow: fields.slow.checked }, (piece) => {
        if (current()) putPixels(paint, picture, piece.start, piece.symbols);
      });
      if (drawn.stopped) {
        if (current()) section.status.textContent = "Stopped.";
        return;
      }
      last = drawn.x;
      section.report(drawn.x.length - (given?.length ?? 0), "pixels", drawn.milliseconds);
      const bits = await section.model.bits(drawn.x, context);
      if (current()) showBits(section, canvases.heat, picture, bits);
      canvases.drawn.ariaLabel = `The drawn picture: ${picture.contextName && label ? `class ${label}` : "any class"}, seed ${seed}`;
    });
  }

  section.form.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  fields.another.addEventListener("click", () => {
    section.guard(() => {
      fields.seed.value = section.seed + 1n;
      return draw();
    });
  });
  fields.model.addEventListener("change", () => section.guard(prepare));
  const button = (name) => section.query(`[name=${name}]`);
  button("complete").addEventListener("click", () => draw(Int32Array.from(painting, picture.symbolOf)));
  button("clear").addEventListener("click", () => {
    painting.fill(0);
    showPainting(canvases.paint, painting, picture);
  });
  button("borrow").addEventListener("click", () => {
    section.guard(() => {
      if (!last) throw new Error("Nothing is drawn yet: press “Draw” first.");
      painting.set(Array.from(last.subarray(0, painting.length), (symbol) => picture.shades[symbol] / 255));
      showPainting(canvases.paint, painting, picture);
    });
  });
  listen(canvases.paint, (x, y) => {
    brush(painting, picture.width, x, y);
    showPainting(canvases.paint, painting, picture);
  });
  await prepare();
}

/** What the page has to know of a model of pictures. */
function describe({ name, event_shape: shape, site_shape: site, head, context }) {
  if (shape.length !== 3 || shape[2] !== 1 || site.length) {
    throw new Error(`${name} draws pictures of shape [${shape}]; this page shows those with one channel.`);
  }
  const raw = head.decode.table ?? Array.from({ length: head.num_symbols }, (_, symbol) => symbol);
  const top = (head.config.source_levels ?? head.num_symbols) - 1;
  const [contextName, classes] = Object.entries(context).find(([, facts]) => facts.num_classes) ?? [];
  return {
    height: shape[0],
    width: shape[1],
    shades: raw.map((value) => Math.round((value * 255) / top)), // symbol → 0 … 255
    symbolOf: (level) => Math.min(head.num_symbols - 1, Math.floor(level * head.num_symbols)),
    contextName,
    numClasses: classes?.num_classes ?? 0,
  };
}

function offerClasses(fieldset, { numClasses }) {
  fieldset.hidden = !numClasses;
  fieldset.querySelectorAll("label").forEach((label) => label.remove());
  for (const value of [...Array(numClasses).keys(), ""]) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "class", value, checked: value === "" });
    const shown = Object.assign(document.createElement("span"), { textContent: value === "" ? "any" : value });
    label.append(input, shown);
    fieldset.append(label);
  }
}

/** Symbols from pixel number `start` on, one canvas pixel each, so that the canvas holds their exact shades. */
function putPixels(canvas, { width, shades }, start, symbols) {
  symbols.forEach((symbol, offset) => {
    const [at, shade] = [start + offset, shades[symbol]];
    canvas.fillStyle = `rgb(${shade} ${shade} ${shade})`;
    canvas.fillRect(at % width, Math.floor(at / width), 1, 1);
  });
}

function showBits(section, canvas, { width, height }, bits) {
  const image = new ImageData(width, height);
  bits.forEach((value, at) => image.data.set([...heat(value / MOST_BITS), 255], 4 * at));
  canvas.getContext("2d").putImageData(image, 0, 0);
  const mean = bits.reduce((sum, value) => sum + value, 0) / bits.length;
  section.query(".mean").textContent = `${mean.toFixed(3)} on average`;
  canvas.ariaLabel = `Bits per pixel: ${mean.toFixed(3)} on average, ${Math.max(...bits).toFixed(1)} at most`;
}

function heat(part) {
  const at = Math.min(Math.max(part, 0), 1) * (HEAT.length - 1);
  const [low, high] = [HEAT[Math.floor(at)], HEAT[Math.ceil(at)]];
  return low.map((value, channel) => value + (high[channel] - value) * (at % 1));
}

function showPainting(canvas, painting, { width, height, shades, symbolOf }) {
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    // Below the middle a faint pattern: this half is the model's.
    const level = at < painting.length ? shades[symbolOf(painting[at])] : ((at % width) + Math.floor(at / width)) % 4 ? 24 : 56;
    image.data.set([level, level, level, 255], 4 * at);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** A soft round dot; painting again makes it no lighter. */
function brush(painting, width, x, y) {
  painting.forEach((level, at) => {
    const distance = Math.hypot((at % width) + 0.5 - x, Math.floor(at / width) + 0.5 - y);
    painting[at] = Math.max(level, Math.min(1, Math.max(0, 1.5 - distance / BRUSH)));
  });
}

/** Calls `dot(x, y)`, in canvas pixels, along every stroke of a pointer. */
function listen(canvas, dot) {
  let before;
  const place = ({ offsetX, offsetY }) => [
    (offsetX / canvas.clientWidth) * canvas.width,
    (offsetY / canvas.clientHeight) * canvas.height,
  ];
  const stroke = (event) => {
    const [x, y] = place(event);
    const [fromX, fromY] = before ?? [x, y];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) * 2));
    for (let step = 1; step <= steps; step++) dot(fromX + ((x - fromX) * step) / steps, fromY + ((y - fromY) * step) / steps);
    before = [x, y];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    before = undefined;
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
}
