// Sound: the waveform grows while the samples are drawn; then it is played, or saved.

const UNKNOWN_RATE = 8000; // of a model that does not say its own

/** Fills the section: controls, waveform, player. */
export async function soundSection(section) {
  const { fields } = section;
  const canvas = section.query(".wave");
  const save = section.query("a.button");
  let wave = new Float32Array(0); // what is drawn so far, -1 … 1, as long as it will be
  let drawn = 0; // how much of it is there
  let rate = UNKNOWN_RATE; // samples a second
  let playing; // { source, context, began }

  const show = () => plot(canvas, wave, drawn, playing ? playing.context.currentTime - playing.began : undefined, rate);
  new ResizeObserver(show).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

  async function generate() {
    endPlaying();
    await section.draw(async (current) => {
      const { head, sample_rate } = await section.model.open();
      rate = sample_rate ?? UNKNOWN_RATE;
      const sites = Math.round(Number(fields.seconds.value) * rate);
      const { seed, temperature } = section;
      [wave, drawn, save.hidden, fields.play.disabled] = [new Float32Array(Math.max(sites, 0)), 0, true, true];
      section.status.textContent = "Generating …";
      const result = await section.model.draw({ seed, temperature, sites }, (piece) => {
        if (!current()) return;
        piece.symbols.forEach((symbol, offset) => (wave[piece.start + offset] = head.decode.table[symbol]));
        drawn = piece.start + piece.symbols.length;
        show();
      });
      if (!current()) return;
      if (result.stopped) {
        section.status.textContent = "Stopped.";
      } else {
        const times = (sites / rate / (result.milliseconds / 1000)).toFixed(2);
        section.report(sites, "samples", result.milliseconds, `, ${times} times as fast as it plays`);
      }
      canvas.ariaLabel = `Waveform: ${(drawn / rate).toFixed(2)} seconds, seed ${seed}`;
      URL.revokeObjectURL(save.href);
      save.href = URL.createObjectURL(wavFile(wave.subarray(0, drawn), rate));
      [save.hidden, fields.play.disabled] = [!drawn, !drawn];
    });
  }

  function play() {
    if (playing) return endPlaying();
    const context = new AudioContext();
    const buffer = context.createBuffer(1, drawn, rate);
    buffer.copyToChannel(wave.subarray(0, drawn), 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.onended = endPlaying;
    source.start();
    playing = { source, context, began: context.currentTime };
    fields.play.textContent = "Stop playing";
    const follow = () => {
      show();
      if (playing) requestAnimationFrame(follow);
    };
    follow();
  }

  function endPlaying() {
    if (!playing) return;
    playing.source.onended = null;
    playing.context.close();
    playing = undefined;
    fields.play.textContent = "Play";
    show();
  }

  section.form.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  fields.play.addEventListener("click", () => section.guard(play));
  fields.model.addEventListener("change", () => section.guard(() => section.open()));
  section.query(".about").textContent = section.entry.about;
}

/** The least and the greatest sample of each column, over the whole length; and a line where it plays. */
function plot(canvas, wave, drawn, seconds, rate) {
  const scale = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const style = getComputedStyle(canvas);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const y = (value) => ((1 - value) / 2) * height;
  context.fillStyle = style.getPropertyValue("--line");
  context.fillRect(0, Math.round(height / 2), width, 1);
  context.fillStyle = style.getPropertyValue("--accent");
  for (let column = 0; column < width && wave.length; column++) {
    const first = Math.floor((column * wave.length) / width);
    const end = Math.min(drawn, Math.max(first + 1, Math.ceil(((column + 1) * wave.length) / width)));
    if (first >= end) break;
    let [least, most] = [1, -1];
    for (let at = first; at < end; at++) [least, most] = [Math.min(least, wave[at]), Math.max(most, wave[at])];
    context.fillRect(column, y(most), 1, Math.max(scale, y(least) - y(most)));
  }
  if (seconds === undefined) return;
  context.fillStyle = style.color;
  context.fillRect(((seconds * rate) / wave.length) * width, 0, 2 * scale, height);
}

/** 16-bit PCM, one channel. */
function wavFile(samples, rate) {
  const bytes = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => bytes.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  [[16, 16], [24, rate], [28, 2 * rate], [40, 2 * samples.length]].forEach(([at, n]) => bytes.setUint32(at, n, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([at, n]) => bytes.setUint16(at, n, true));
  text(36, "data");
  samples.forEach((sample, i) => bytes.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), true));
  return new Blob([bytes], { type: "audio/wav" });
}
