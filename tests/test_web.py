"""The web page: whole or absent, served as browsers want it, and in Chromium the same numbers as in Python."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ar_zoo
from ar_zoo import cli, drawing, web
from ar_zoo.core.model import AutoregressiveModel
from ar_zoo.core.noise import uniform_noise
from ar_zoo.core.registry import families
from ar_zoo.heads import Categorical
from ar_zoo.testing.tiny import contexts, make
from tests.export.families import SCALES

SOURCES = Path(__file__).resolve().parents[1] / "tools" / "web"
FAKE_NPM = """#!/bin/sh
test "$1" = ci || exit 1
test -f package-lock.json || exit 1
mkdir -p node_modules/@litertjs/core/wasm
cd node_modules/@litertjs/core/wasm
for name in internal compat_internal threaded_internal; do
    echo script > litert_wasm_$name.js
    echo code > litert_wasm_$name.wasm
done
"""
MODELS = {
    "digits": ("gated_pixel_cnn.tiny", dict(image_shape=(6, 4, 1), head=Categorical(4, source_levels=256))),
    "voice": ("wavenet.tiny", {}),
    "letters": ("gpt.tiny", dict(head=Categorical(6, alphabet="\nabcde"))),
    "bare": ("gpt.tiny", {}),
    "colours": ("pixel_cnn.tiny", dict(image_shape=(4, 4, 2))),
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets")
    for name, (model, overrides) in MODELS.items():
        ar_zoo.save(ar_zoo.create(model, **overrides), folder / name, about=f"About {name}.")
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Puts a program of that name where it is found first; called with the text of the program."""

    def place(script):
        path = tmp_path / "bin" / "npm"
        path.parent.mkdir()
        path.write_text(script)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")

    return place


@pytest.fixture
def exports(monkeypatch):
    """Stands in for the exporter, and lists what it was asked for."""
    asked = {}

    def export(model, folder, formats, num_sites, progress):
        folder.mkdir(parents=True)
        asked[folder.name] = (formats, num_sites)

    monkeypatch.setattr(web, "export", export)
    return asked


def test_the_page_is_whole(tmp_path, presets, npm, exports):
    npm(FAKE_NPM)
    names = [str(presets / name) for name in ("digits", "voice", "letters", "letters")]
    folder = web.write_page(tmp_path / "page", names, progress=False)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    sources = {path.name for path in SOURCES.iterdir() if path.suffix in (".html", ".css", ".js")}
    wasm = {f"litert/litert_wasm_{name}internal.{kind}" for name in ("", "compat_") for kind in ("js", "wasm")}
    assert files == sources | wasm | {"page.json"}
    assert exports == {
        "digits": (("tflite",), None),
        "voice": (("tflite",), 8000),
        "letters": (("tflite",), 12),
        "letters_2": (("tflite",), 12),
    }
    assert json.loads((folder / "page.json").read_text())["models"][:2] == [
        {"name": "digits", "kind": "image", "folder": "models/digits/", "about": "About digits."},
        {"name": "voice", "kind": "sound", "folder": "models/voice/", "about": "About voice."},
    ]


def test_what_the_sources_name_is_there_and_nothing_is_from_elsewhere():
    files = {path.name for path in SOURCES.iterdir()}
    for path in SOURCES.glob("*.*"):
        if path.suffix in (".js", ".html", ".css"):
            text = path.read_text(encoding="utf-8")
            named = re.findall(r'(?:from|import\(|new URL\() ?"(?:\./)?([^"]+?)"|(?:src|href)="([\w.-]+)"', text)
            assert {"".join(pair) for pair in named} <= files | {"litert/", "page.json"}, path
            assert set(re.findall(r"https?://[^\s\"']+", text)) <= {
                "https://www.npmjs.com/package/@litertjs/core",  # a link in the footer
                "https://",
                "http://127.0.0.1",
            }, path
    wanted = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    locked = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    for name, version in wanted.items():
        assert version == locked[f"node_modules/{name}"]["version"]
    assert all(name == "" or fact["integrity"].startswith("sha512-") for name, fact in locked.items())


@pytest.mark.parametrize(
    ("script", "models", "says"),
    [
        ("#!/bin/sh\necho no registry here >&2; exit 1", ["letters"], "no registry here"),
        ("#!/bin/sh\nexit 0", ["letters"], "gave no reason"),
        (FAKE_NPM, ["letters", "bare"], "bare draws bare symbols"),
        (FAKE_NPM, ["colours"], r"colours draws pictures of shape \[4, 4, 2\]"),
        (FAKE_NPM, ["nowhere"], "nowhere"),
        (FAKE_NPM, [], "at least one"),
    ],
)
def test_a_failure_leaves_the_older_page(tmp_path, presets, npm, exports, script, models, says):
    npm(script)
    folder = tmp_path / "pages" / "page"
    folder.mkdir(parents=True)
    (folder / "page.json").write_text("older")
    with pytest.raises(ValueError, match=says):
        web.write_page(folder, [str(presets / name) for name in models], progress=False)
    assert [path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*")] == [
        "page",
        "page/page.json",
    ]


def test_a_folder_of_something_else_is_left_alone(tmp_path, presets, npm):
    npm(FAKE_NPM)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds something else .it has no page"):
        web.write_page(tmp_path, [str(presets / "letters")], progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_without_npm_it_says_what_to_install(tmp_path, presets, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"`npm` is not there.*Node\.js"):
        web.write_page(tmp_path / "page", [str(presets / "letters")], progress=False)


@pytest.fixture
def served(tmp_path):
    """The address of an empty folder, and the folder."""
    with serving(tmp_path) as address:
        yield address, tmp_path


class serving:
    """A running server: `with serving(folder) as address`."""

    def __init__(self, folder):
        self._server = web.server(folder, port=0)
        self._thread = threading.Thread(target=functools.partial(self._server.serve_forever, 0.01))

    def __enter__(self):
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.tflite", "application/octet-stream"),
    ],
)
def test_the_server_names_types_as_browsers_want_them(served, name, kind):
    address, folder = served
    (folder / name).write_bytes(b"content")
    with urllib.request.urlopen(address + name) as response:
        assert (response.headers["Content-Type"], response.read()) == (kind, b"content")
        assert response.headers["Cache-Control"] == "no-cache"


def test_the_server_stays_on_this_machine_and_in_its_folder(served):
    address, folder = served
    (folder.parent / "secret.txt").write_text("secret")
    for path in ("../secret.txt", "%2e%2e/secret.txt", "absent.js"):
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(address + path)
        caught.value.close()
    with web.server(folder, port=0) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=rf"`port` {server.server_port} cannot be used"):
            web.server(folder, server.server_port)


@pytest.mark.parametrize("arguments", [[], ["--no-serve"]])
def test_the_command_writes_and_serves(tmp_path, monkeypatch, capsys, arguments):
    written = []
    monkeypatch.setattr(web, "write_page", lambda folder, models: written.append(models) or Path(folder))

    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", interrupted)
    assert cli.main(["web", str(tmp_path / "page"), "--port", "0", *arguments]) == 0
    assert written == [list(web.MODELS)]
    wanted = re.escape(str(tmp_path / "page")) if arguments else r"http://127\.0\.0\.1:\d+/"
    assert re.fullmatch(wanted, capsys.readouterr().out.strip())


@pytest.mark.slow
def test_the_noise_is_pythons():
    cases = [
        ("0", 0, 0, 5, 1),
        (str(2**64 - 1), 3, 2, 9, 5),
        (str(2**53 + 1), 1, 700, 784, 1),
        (str(10**30), 0, 7, 9, 4),
    ]
    program = (
        f"import {{ uniformNoise }} from {json.dumps((SOURCES / 'noise.js').as_uri())};"
        "const cases = JSON.parse(process.argv[1]);"
        "console.log(JSON.stringify(cases.map(([seed, ...rest]) => Array.from(uniformNoise(BigInt(seed), ...rest)))));"
    )
    command = ["node", "--input-type=module", "--eval", program, json.dumps(cases)]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for (seed, row, start, stop, size), found in zip(cases, printed, strict=True):
        expected = uniform_noise(int(seed), [row], start, stop, (size,))
        np.testing.assert_array_equal(np.float32(found), expected.ravel())


CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # it runs as root in CI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no network
]


@pytest.mark.slow
def test_the_page_in_chromium(tmp_path):
    """Numbers against Python's, with no network but the page's own server; screenshots go to the test's folder."""
    from playwright.sync_api import sync_playwright

    folder = web.write_page(tmp_path / "page", progress=False)
    runtimes = {name: ar_zoo.runtime.load(folder / "models" / name) for name in web.MODELS}
    assert runtimes["wavenet.speech8k"].sample_rate == 8000
    manifest = folder / "models" / "wavenet.speech8k" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"sample_rate": 8000', '"sample_rate": 11000'))
    with serving(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, wrong = open_page(browser, address)
        check_digit(page, runtimes["gated_pixel_cnn.mnist"])
        check_completion(page, runtimes["gated_pixel_cnn.mnist"])
        check_stop(page)
        check_sound(page, runtimes["wavenet.speech8k"])
        check_text(page, ar_zoo.load("gpt.kjv"))
        for name, scheme, width in (("light", "light", 1100), ("dark", "dark", 1100), ("phone", "light", 375)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert wrong == []
        check_damage(browser, address, folder)
        browser.close()


@pytest.mark.slow
def test_every_family_draws_pythons_symbols_in_chromium(tmp_path, presets):
    """The runtime alone, on small models with random weights: all kinds of state, contexts, several channels."""
    from playwright.sync_api import sync_playwright

    folder = web.write_page(tmp_path / "page", str(presets / "letters"), progress=False)
    program = """async ([name, {seed, ...request}]) => {
        const {Model} = await import("./client.js");
        const model = new Model(`models/${name}`);
        const {x} = await model.draw({seed: BigInt(seed), ...request});
        return [Array.from(x), Array.from(await model.bits(x, request.context))]; }"""
    with serving(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, wrong = open_page(browser, address)
        for name, cls in families().items():
            if not issubclass(cls, AutoregressiveModel) or cls.PRESETS["tiny"]["head"].num_symbols is None:
                continue
            model = make(cls, dtype="float32", scale=SCALES.get(name, 0.5))
            sites = model.num_sites or model.max_sites or 12
            exported = ar_zoo.export(model, folder / "models" / name, "tflite", num_sites=sites, progress=False)
            runtime = ar_zoo.runtime.load(exported)
            context = {key: value[0].tolist() for key, value in (contexts(model, 1) or {}).items()}
            for seed, temperature in enumerate((1, 0.5, 0)):
                request = dict(seed=seed, temperature=temperature, context=context)
                x, bits = page.evaluate(program, [name, request])
                expected = runtime.sample(1, **request)
                np.testing.assert_array_equal(x, expected.ravel(), name)
                site_log_prob = runtime.score(expected, context)[1]
                np.testing.assert_allclose(bits, -site_log_prob.ravel() / np.log(2), atol=1e-4, err_msg=name)
        assert wrong == []
        browser.close()


def open_page(browser, address):
    """The page, and a list that grows with all that goes wrong in it: errors, and requests to anywhere else."""
    page, wrong = browser.new_page(viewport={"width": 1100, "height": 800}), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: request.url.startswith((address, "data:", "blob:")) or wrong.append(request.url))
    page.goto(address)
    return page, wrong


def finish(page, section, button, unit):
    """Presses a button and waits for the report of speed, which it returns."""
    from playwright.sync_api import expect

    status = page.locator(f"#{section} .status")
    page.evaluate("section => document.querySelector(`#${section} .status`).textContent = ''", section)
    page.locator(f"#{section}").get_by_role("button", name=button, exact=True).click(timeout=60_000)
    expect(status).to_have_text(re.compile(rf"[\d,]+ {unit}/s"), timeout=120_000)
    return status.text_content()


def shades(page, canvas):
    program = """selector => { const canvas = document.querySelector(selector);
        return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data); }"""
    return np.reshape(page.evaluate(program, canvas), (28, 28, 4))[..., :3]


def check_digit(page, runtime):
    from playwright.sync_api import expect

    page.get_by_label("7", exact=True).check(force=True)
    page.locator("#image [name=seed]").fill("3")
    print(finish(page, "image", "Draw", "pixels"))
    expected = runtime.sample(1, seed=3, context=7)
    drawn = shades(page, "#image .drawn")
    np.testing.assert_array_equal(drawn, np.broadcast_to(expected[0], (28, 28, 3)))
    bits = -runtime.score(expected, 7)[1][0, ..., 0] / np.log(2)
    expect(page.locator("#image .mean")).to_have_text(f"{bits.mean():.3f} on average")
    brightness = shades(page, "#image .heat").sum(axis=-1).ravel()[np.argsort(np.minimum(bits, 8), axis=None)]
    assert np.all(np.diff(brightness) >= -3)  # the scale gets brighter all the way; three roundings
    assert brightness[-1] > 600


def check_completion(page, runtime):
    page.get_by_label("any", exact=True).check(force=True)
    page.locator("#image [name=seed]").fill("5")
    box = page.locator("#image .paint").bounding_box()
    for step, (x, y) in enumerate([(0.3, 0.2), (0.7, 0.2), (0.55, 0.49)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    painted = shades(page, "#image .paint")[:14, :, :1]
    assert painted.max() == 255
    print(finish(page, "image", "Complete", "pixels"))
    drawn = shades(page, "#image .drawn")
    np.testing.assert_array_equal(drawn[:14, :, :1], painted)
    expected = runtime.sample(1, seed=5, prefix=painted)
    np.testing.assert_array_equal(drawn, np.broadcast_to(expected[0], (28, 28, 3)))


def check_stop(page):
    from playwright.sync_api import expect

    page.get_by_label("Slow motion").check()
    page.locator("#image").get_by_role("button", name="Draw", exact=True).click()
    page.locator("#image [name=stop]").click()
    expect(page.locator("#image .status")).to_have_text("Stopped.")
    page.get_by_label("Slow motion").uncheck()
    finish(page, "image", "Draw another", "pixels")
    assert page.locator("#image [name=seed]").input_value() == "6"


def check_sound(page, runtime):
    page.locator("#sound [name=seconds]").fill("0.5")
    page.locator("#sound [name=seed]").fill("1")
    print(finish(page, "sound", "Generate", "samples"))
    with page.expect_download() as download:
        page.get_by_text("Save WAV").click()
    samples, rate = soundfile.read(download.value.path())
    assert (len(samples), rate) == (5500, 11000), "the manifest's"
    expected = runtime.decode(runtime.sample(1, seed=1, num_sites=400)[0])
    np.testing.assert_allclose(samples[:400], expected, atol=1 / 32768)
    assert np.ptp(samples[:400]) > 0.1
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop playing").click()


def check_text(page, model):
    """Longer than the model's window, so that a second one goes on from the first."""
    from playwright.sync_api import expect

    prompt = "And it came to pass"
    page.locator("#text [name=prompt]").fill(prompt)
    page.locator("#text [name=sites]").fill("300")
    page.locator("#text [name=seed]").fill("2")
    print(finish(page, "text", "Continue", "characters"))
    (expected,) = drawing.draw_text(model, len(prompt) + 300, seed=2, temperature=0.8, prefix=prompt)
    assert page.locator("#text .page").text_content() == expected
    page.locator("#text [name=prompt]").fill("Ω")
    page.locator("#text [type=submit]").click()
    expect(page.locator("#text .problem")).to_contain_text("does not know “Ω”")


def check_damage(browser, address, folder):
    """A file that is changed, or missing: the section says so, and the others still work."""
    from playwright.sync_api import expect

    graph = folder / "models" / "gated_pixel_cnn.mnist" / "sample_step.tflite"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    (folder / "models" / "gpt.kjv" / "manifest.json").unlink()
    page, _ = open_page(browser, address)
    expect(page.locator("#image .problem")).to_contain_text("does not match the sha256", timeout=60_000)
    page.locator("#text [type=submit]").click()
    expect(page.locator("#text .problem")).to_contain_text("manifest.json is missing (HTTP 404)")
    page.locator("#sound [name=seconds]").fill("0.05")
    finish(page, "sound", "Generate", "samples")
    (folder / "noise.js").unlink()
    page, _ = open_page(browser, address)
    expect(page.locator("#image .problem")).to_contain_text("Write the page again")
