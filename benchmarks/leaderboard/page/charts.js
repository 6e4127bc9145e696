// Axes and marks of charts, as SVG.

const NAMESPACE = "http://www.w3.org/2000/svg";

function draw(tag, properties = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A number for people: three or four digits, no noise. */
function short(value) {
  if (isMissing(value)) return MISSING;
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(1).replace("e+", "e");
}

/** Round steps that cover a range: 0, 20, 40 …; powers of ten, or few of them with halves, on a logarithmic one. */
function ticks(low, high, log) {
  if (log) {
    const found = [];
    const decades = Math.log10(high / low);
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const digit of decades > 2 ? [1] : [1, 2, 5]) {
        const value = Number((digit * 10 ** power).toPrecision(3));
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    return found.length > 1 ? found : [low, high];
  }
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) found.push(Number((place * step).toPrecision(10)));
  return found;
}

/** A function from values to pixels; it has the axis's ends and whether it is logarithmic. */
function scale(values, [from, to], { log = false, margin = 0 } = {}) {
  const known = values.filter((value) => typeof value === "number");
  let [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  const isLog = log && low > 0 && high > low;
  if (low === high) [low, high] = [low - 1, high + 1];
  else if (!isLog) [low, high] = [low - margin * (high - low), high + margin * (high - low)];
  const share = (value) => (isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  return Object.assign((value) => from + share(value) * (to - from), { low, high, log: isLog });
}

/** An SVG with two axes and their names; the marks are added by the caller. */
function plane({ width, height, x, y, names, title }) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
  const [left, right, top, bottom] = [x(x.low), x(x.high), y(y.high), y(y.low)];
  for (const value of ticks(y.low, y.high, y.log)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }),
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const value of ticks(x.low, x.high, x.log)) {
    svg.append(draw("text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, short(value)));
  }
  svg.append(draw("text", { class: "name", x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, names[0]),
    draw("text", { class: "name", x: left - 6, y: top - 10, "text-anchor": "start" }, names[1]));
  return svg;
}
