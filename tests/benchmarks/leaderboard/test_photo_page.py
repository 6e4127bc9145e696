"""The page of `facecloak protect`: before and after in a real browser, and what is and is not in its file."""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from benchmarks.leaderboard.page import photos as page_of_photos
from benchmarks.leaderboard.page.photos import SIDE, write_photo_page
from facecloak.cli.main import main
from facecloak.io import write_png
from tests.toys import write_suite

pytest_plugins = ["tests.benchmarks.leaderboard.page_fixtures"]
EVIL = "<img src=x onerror=\"document.title='hacked'\"> </script>.png".replace("/", "∕")  # no slash in a file's name


def protect(folder, *photos, options=()):
    arguments = [str(folder / "toys" / "toys.yaml"), "--method", "pgd", "--judge", "ada", "--out", str(folder / "out")]
    return main(["protect", *map(str, photos), "--suite", *arguments, *options])


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A phone's large photo with a place, one of two faces with an evil name, and one that is damaged."""
    folder = tmp_path_factory.mktemp("album")
    write_suite(folder / "toys")
    tags = Image.Exif()
    tags[0x0110] = "PrivatePhone 7"
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    (folder / "photos" / "rome").mkdir(parents=True)
    large = Image.fromarray(astronaut()[:400]).resize((1536, 1200))
    large.save(folder / "photos" / "rome" / "phone.jpg", exif=tags.tobytes(), comment=b"at home")
    face = astronaut()[:256, 90:346]
    pair = np.full((256, 512, 3), 90, dtype=np.uint8)
    pair[:, :256], pair[48:208, 304:464] = face, np.asarray(Image.fromarray(face).resize((160, 160)))
    write_png(folder / "photos" / EVIL, pair)
    (folder / "photos" / "broken.png").write_text("not a picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLOAK_WEIGHTS", str(folder / "toys" / "weights"))
        assert protect(folder, folder / "photos") == 1
    return folder


@pytest.fixture
def copy(album, tmp_path, monkeypatch):
    """A copy of the album, which a test may change."""
    monkeypatch.setenv("FACECLOAK_WEIGHTS", str(album / "toys" / "weights"))
    return shutil.copytree(album, tmp_path / "copy")


@pytest.fixture(scope="module")
def made(album):  # for the fixture `visit`
    return SimpleNamespace(file=album / "out" / "protect.html", ready="section.photo")


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())[1])


def recorded(album):
    photos = json.loads((album / "out" / "protect.json").read_text())["photos"]
    return {photo["photo"].rpartition("/")[2]: photo for photo in photos}


def pixels(uri):
    kind, _, text = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_every_photo_has_a_card(visit, album):
    page = visit()
    assert page.locator("h2").all_inner_texts() == [*recorded(album)] and page.title() == "Protected photos"
    assert page.inner_text("#summary") == "2 of 3 photos protected."
    assert page.inner_text(".error") == "Not protected: not a readable image (not an image file)."
    links = page.locator("dd a").evaluate_all("all => all.map(a => decodeURIComponent(a.href))")
    assert links == [
        f"file://{album}/out/{photo['result']}" for photo in recorded(album).values() if not photo["error"]
    ]


def test_the_numbers_are_those_of_the_file(visit, album):
    page = visit()
    cards = {card.locator("h2").inner_text(): card for card in page.locator("section.photo").all()}
    for name, photo in recorded(album).items():
        if photo["error"]:
            continue
        shown = [" ".join(row.split()) for row in cards[name].locator("tbody tr").all_inner_texts()]
        wanted = []
        for number, face in enumerate(photo["faces"], 1):
            first = f"{number} " if len(photo["faces"]) > 1 else ""
            for one in photo["surrogates"]:
                before, after = face["cosine_to_target_before"][one], face["cosine_to_target_after"][one]
                original = face["cosine_to_original_after"][one]
                wanted.append(f"{first}{one} attacked {before:.2f} → {after:.2f} 1.00 → {original:.2f}")
            said = face["judges"]["ada"]
            to_target = f"{said['cosine_to_target_before']:.2f} → {said['cosine_to_target_after']:.2f}"
            words = ["matched" if said["matches_target"] else "not matched",
                     "still matched" if said["matches_original"] else "no longer matched"]  # fmt: skip
            original = f"1.00 → {said['cosine_to_original_after']:.2f}"
            wanted.append(f"{first}ada judge {to_target} {words[0]} {original} {words[1]}")
        assert shown == wanted
        text = cards[name].inner_text()
        assert f"{photo['psnr']:.1f} dB" in text and "Made against bob, cyd; other recognizers may differ." in text
        assert f"{photo['n_protected']} of {photo['n_faces']} protected" in text


def test_the_slider_wipes_by_keyboard_between_both_pictures(visit):
    page = visit()
    clip = "getComputedStyle(document.querySelector('.compare .after')).clipPath"
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(clip) == "inset(0px 0px 0px 51%)"
    for image in page.locator(".compare img").all():
        image.scroll_into_view_if_needed()  # they are loaded when they are seen
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") in (512, SIDE)


def test_light_and_dark_and_a_phone(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = visit(), visit(scheme="dark")
    assert light.evaluate(ground) == "rgb(255, 255, 255)" != dark.evaluate(ground)
    light.click("#theme")
    assert light.evaluate(ground) == dark.evaluate(ground)
    assert visit(width=390).evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pictures_are_small_and_those_of_the_files(album):
    data, photo = data_of(album / "out" / "protect.html"), recorded(album)["phone.jpg"]
    files = {"source_sha256": album / "photos" / "rome" / "phone.jpg", "result_sha256": album / "out/rome/phone.png"}
    for key, file in files.items():
        picture = pixels(data["previews"][photo[key]])
        assert picture.size == (SIDE, SIDE * 1200 // 1536) and not picture.getexif()
        whole = Image.open(file).convert("RGB").resize(picture.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(picture).astype(float) - np.asarray(whole)).mean() < 3


def test_nothing_else_of_the_originals_is_in_it(album):
    page = album / "out" / "protect.html"
    text = page.read_text()
    assert all(word not in text for word in (str(album), "PrivatePhone", "at home"))
    raw = b"".join(base64.b64decode(uri.partition(",")[2]) for uri in data_of(page)["previews"].values())
    assert b"Exif" not in raw and b"at home" not in raw and b"PrivatePhone" not in raw
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    assert not re.search(r'(src|href)="', text.partition('id="data"')[0])


def test_photos_of_earlier_commands_stay_and_their_pictures_too(copy, monkeypatch):
    """The original is gone, but the page has its picture; nothing is read again."""
    before = data_of(copy / "out" / "protect.html")
    shutil.rmtree(copy / "photos" / "rome")
    write_png(copy / "new.png", astronaut()[:390])
    read = []
    monkeypatch.setattr(page_of_photos, "read_image", lambda file: read.append(file.name) or np.zeros((9, 9, 3), "u1"))
    assert protect(copy, copy / "new.png") == 0
    after = data_of(copy / "out" / "protect.html")
    assert sorted(read) == ["new.png", "new.png"]  # the original and its result
    assert (
        {photo["name"] for photo in after["photos"]}
        == {*recorded(copy)}
        == {"phone.jpg", EVIL, "broken.png", "new.png"}
    )
    assert after["previews"].items() > before["previews"].items()


def test_without_an_earlier_page_a_photo_that_is_gone_has_no_picture(copy):
    (copy / "out" / "protect.html").write_text("damaged")
    (copy / "photos" / "rome" / "phone.jpg").unlink()
    (copy / "out" / recorded(copy)[EVIL]["result"]).unlink()
    data = data_of(write_photo_page(copy / "out"))
    found = {
        photo["name"]: [key in data["previews"] for key in photo["previews"]]
        for photo in data["photos"]
        if not photo["error"]
    }
    assert found == {"phone.jpg": [False, True], EVIL: [True, False]}
    assert {photo["name"]: photo.get("here") for photo in data["photos"]} == {
        "phone.jpg": True, EVIL: False, "broken.png": None
    }  # fmt: skip


def test_a_page_never_shows_another_photo_than_the_one_that_was_protected(copy):
    (copy / "out" / "protect.html").unlink()
    write_png(copy / "photos" / "rome" / "phone.jpg", astronaut()[:100])
    data = data_of(write_photo_page(copy / "out"))
    assert recorded(copy)["phone.jpg"]["source_sha256"] not in data["previews"]


def test_too_many_pictures_are_left_out_the_oldest_first(copy, monkeypatch):
    (copy / "out" / "protect.html").unlink()
    monkeypatch.setattr(page_of_photos, "BUDGET", 1)
    data = data_of(write_photo_page(copy / "out"))
    last = [photo for photo in recorded(copy).values() if not photo["error"]][-1]
    assert [*data["previews"]] == [last["source_sha256"]]


@pytest.mark.parametrize("previews", [{"x": "javascript:1"}, {"x": 3}, [1], None])
def test_of_a_page_that_was_changed_nothing_else_is_kept(copy, previews):
    page = copy / "out" / "protect.html"
    block = json.dumps({"previews": previews})
    page.write_text(f'<script type="application/json" id="data">{block}</script>')
    assert page_of_photos._known_previews(page) == {}
