// A card for each photo: before and after, and what recognizers say about its faces.

const data = JSON.parse(byId("data").textContent);

const similarity = (value) => (isMissing(value) ? "no face found" : value.toFixed(2));

function summarise() {
  const done = data.photos.filter((photo) => !photo.error).length;
  byId("summary").textContent = `${done} of ${plural(data.photos.length, "photo")} protected.`;
}

/** What a method was to achieve, in words. */
function aim(photo) {
  const goal = photo.objective === "obfuscation"
    ? "so that recognizers no longer match its faces to their people"
    : `so that recognizers take its faces for target ${photo.target}`;
  const against = photo.attacked.length
    ? `Made against ${photo.attacked.join(", ")}; other recognizers may differ.`
    : "This method attacks no recognizer.";
  return `Protected by ${photo.method}, ${goal}. ${against}`;
}

function matched(row, photo) {
  if (row.role !== "judge" || isMissing(row.threshold)) return "–";
  if (isMissing(row.original[1])) return "no face found";
  const person = row.matches_original ? "still the person" : "no longer the person";
  if (photo.objective === "obfuscation") return person;
  return `${row.matches_target ? "matches" : "does not match"} the target; ${person}`;
}

function facesTable(photo) {
  const before = (side) => (row) => `${similarity(row[side][0])} → ${similarity(row[side][1])}`;
  const sides = [["similarity to the original", before("original")], [`similarity to target ${photo.target}`, before("to_target")]];
  if (photo.objective === "impersonation") sides.reverse();
  const columns = [["recognizer", (row) => row.name], ["", (row) => row.role], ...sides];
  if (photo.rows.some((row) => row.role === "judge")) columns.push(["match at FAR 0.01", (row) => matched(row, photo)]);
  if (photo.n_protected > 1) columns.unshift(["face", (row) => String(row.face)]);
  const cell = (row) => ([, show], place) => make(place ? "td" : "th", place ? {} : { scope: "row" }, show(row));
  return make("div", { className: "scroll" }, make("table", {},
    make("caption", {}, make("span", {}, photo.n_protected > 1 ? "Faces, the largest first" : "The face, before → after")),
    make("thead", {}, make("tr", {}, ...columns.map(([label]) => make("th", { scope: "col" }, label)))),
    make("tbody", {}, ...photo.rows.map((row) => make("tr", {}, ...columns.map(cell(row)))))));
}

function facts(photo) {
  const entries = [
    ["faces", `${photo.n_protected} of ${photo.n_faces} protected${photo.n_too_small ? `, ${photo.n_too_small} too small` : ""}`],
    ["PSNR", isMissing(photo.psnr) ? "identical" : `${photo.psnr.toFixed(1)} dB`],
    ["seconds", seconds(photo.seconds)],
    ["file", photo.here ? make("a", { href: photo.link }, photo.result) : `${photo.result} (no longer here)`],
  ];
  return make("dl", {}, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function pictures(photo) {
  const [original, made] = photo.previews.map((key) => data.previews[key]);
  if (!made) return make("p", { className: "hint" }, photo.here ? "This page has no room for more pictures." : "");
  const after = make("img", { src: made, alt: `${photo.name}, protected`, loading: "lazy", decoding: "async" });
  const figure = make("figure");
  figure.style.setProperty("--ratio", photo.size[0] / photo.size[1]);
  if (!original) {
    figure.append(make("div", { className: "compare" }, after),
      make("figcaption", {}, "Only the protected photo: the original is no longer where it was, or there is no room."));
    return figure;
  }
  const before = make("img", { src: original, alt: `${photo.name}, unprotected`, loading: "lazy", decoding: "async" });
  const [pair, slider] = wipe(before, after, {});
  figure.append(pair, make("label", {}, "Unprotected to protected ", slider));
  return figure;
}

function card(photo) {
  const section = make("section", { className: "photo" }, make("h2", {}, photo.name));
  if (photo.error) section.append(make("p", { className: "error" }, `Not protected: ${photo.error}`));
  else section.append(make("p", { className: "hint" }, aim(photo)), make("div", { className: "pictures" },
    pictures(photo), make("div", { className: "facts" }, facts(photo), facesTable(photo))));
  return section;
}

summarise();
byId("photos").replaceChildren(...data.photos.map(card));
