// Two pictures on top of each other; a slider sets how much of each is visible.

/** The pictures, the original left of the line and the protected photo right of it, and the slider that moves the line. */
function wipe(before, after, properties) {
  const edge = make("i", { className: "edge" });
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, ...properties });
  before.className = "before";
  after.className = "after";

  function slide() {
    const share = Number(slider.value);
    edge.style.left = `${share}%`;
    after.style.clipPath = `inset(0 0 0 ${share}%)`;
    slider.setAttribute("aria-valuetext", `${share} % original, ${100 - share} % protected`);
  }
  slider.addEventListener("input", slide);
  slide();
  return [make("div", { className: "compare" }, before, after, edge), slider];
}
