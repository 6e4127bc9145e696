"""What the tests of the leaderboard's page read from it."""

import re

EVIL = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"


def column(page, key, table=".board.measured"):
    """The texts of a column, by its key."""
    place = page.locator(f"{table} thead th").evaluate_all(
        "(heads, key) => heads.findIndex(h => h.dataset.key === key)", key
    )
    return [text.strip() for text in page.locator(f"{table} tbody tr > :nth-child({place + 1})").all_inner_texts()]


def head(page, key, table=".board.measured"):
    return page.locator(f'{table} th[data-key="{key}"]')


def numbers(texts):
    return [float(re.match(r"[\d.]+", text)[0]) for text in texts if not text.startswith("missing")]
