"""Cached generation against naive generation: same model, same noise, same symbols.

Cached is `model.sample`: one compiled loop over `begin_block` and `step`. Naive is one XLA-compiled `call` a site, over
the whole event (WaveNet: over its receptive field), and the same draw from the same noise; it is timed on evenly spaced
sites and multiplied out. The symbols that it draws there are compared with the cached ones.
"""

from __future__ import annotations

import numpy as np

from ar_zoo.runtime.bounds import best

SEED = 0


def cached_and_naive(model, batch: int, num_sites: int | None, timed_sites: int = 20, repeats: int = 3) -> dict:
    """Times one model both ways.

    Returns:
        `"cached"` and `"naive"`: dicts with `sites_per_s` and `site_us`; that of `"cached"` with `compared`, how many
        symbols were compared, and `different`, how many of them differ.
    """

    def draw():
        return model.sample(batch, seed=SEED, num_sites=num_sites)

    draw()  # compiles
    cached, x = best(repeats, draw)
    rows = x.reshape(batch, -1, *model.head.site_shape)
    sites, chosen = rows.shape[1], chosen_sites(model, rows.shape[1], timed_sites)
    drawn, naive = drawn_naively(model, rows, chosen, repeats)
    differ = int(np.sum(np.any((drawn != rows[:, chosen]).reshape((*drawn.shape[:2], -1)), axis=-1)))
    compared = {"compared": drawn.shape[0] * drawn.shape[1], "different": differ}
    return {"naive": _entry(batch, naive / len(chosen)), "cached": _entry(batch, cached / sites) | compared}


def _entry(batch, seconds) -> dict:
    return {"sites_per_s": batch / seconds, "site_us": seconds * 1e6}


def window(model, sites: int) -> int:
    """How many sites naive generation runs over: all, unless only some can reach a site."""
    if model.num_sites is not None or model.max_sites is not None:
        return sites
    reach = model.receptive_field(sites)[-1]
    return min(sites, sites - int(np.argmax(reach)))  # the site itself, and those that reach it


def chosen_sites(model, sites: int, count: int) -> np.ndarray:
    """Evenly spaced sites, of those that have a whole window before them."""
    first = 0 if window(model, sites) == sites else window(model, sites) - 1
    return np.unique(np.linspace(first, sites - 1, count).astype(int))


def drawn_naively(model, rows, chosen, repeats: int):
    """(symbols [B, sites chosen, …] that `call` on all earlier sites gives with the noise of `sample`, seconds for them)."""
    import tensorflow as tf

    from ar_zoo.core.noise import uniform_noise

    head, (batch, sites) = model.head, rows.shape[:2]
    width = window(model, sites)
    noise = tf.constant(uniform_noise(SEED, range(batch), 0, sites, head.noise_shape))

    @tf.function(jit_compile=True)
    def draw(seen, noise, place):
        params = model._flat(model(model._unflat(seen)))
        return head.sample(tf.gather(params, place, axis=1), noise, tf.constant(1.0))

    calls = []
    for site in chosen:
        start = max(0, site + 1 - width)
        seen = rows[:, start : start + width].copy()
        seen[:, site - start :] = 0  # what naive generation has not drawn yet
        calls.append((tf.constant(seen), noise[:, site], tf.constant(site - start)))

    def all_of_them():
        return [draw(*arguments).numpy() for arguments in calls]

    all_of_them()  # compiles
    seconds, drawn = best(repeats, all_of_them)
    return np.stack(drawn, axis=1), seconds
