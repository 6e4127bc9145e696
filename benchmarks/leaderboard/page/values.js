"use strict";
// How values become text and elements. Values from the data are inserted as text, never as markup.

const MISSING = "missing";

/** An element with properties and children; a string among the children is text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);

const isMissing = (value) => value === null || value === undefined;

function fixed(value, digits) {
  if (isMissing(value)) return MISSING;
  return typeof value === "number" ? value.toFixed(digits) : String(value);
}

const percent = (rate) => (isMissing(rate) ? MISSING : (100 * rate).toFixed(1));

function seconds(value) {
  if (isMissing(value)) return MISSING;
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** The value at an index of a packed column. */
const unpack = (column, place) => column.values[column.at[place]];

/** A rate in per cent with its 95 % interval, as text and as a bar from 0 to 100 %. */
function rateView(rate, low, high) {
  const text = make("span", { className: "rate" }, percent(rate));
  if (isMissing(low) || isMissing(high)) return [text];
  const [from, to] = [100 * low, 100 * high];
  const range = make("i");
  range.style.left = `${from}%`;
  range.style.width = `${Math.max(1, to - from)}%`;
  const point = make("b");
  point.style.left = `${100 * rate}%`;
  return [
    text,
    make("span", { className: "interval" }, `${from.toFixed(0)}–${to.toFixed(0)}`),
    make("span", { className: "whisker", "aria-hidden": "true" }, range, point),
  ];
}

const missingView = (text = MISSING) => make("span", { className: "missing" }, text);
