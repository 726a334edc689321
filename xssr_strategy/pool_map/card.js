// What is known of one image, and small drawings of the marks. Texts only ever become text, never markup.
"use strict";

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

/** The other images of an image's patient, if patients are known. */
function matesOf({ ids, patients }, image) {
  return (patients ?? []).flatMap((one, other) => (other !== image && one === patients[image] ? [ids[other]] : []));
}

/** What is known of an image, as lines: [text, kind]. */
function linesOf(content, image, states) {
  const { ids, pool, styles, colours } = content.fixed;
  const { terms, notes, order } = content.changing;
  const letter = image < pool ? states[image] : SOURCE;
  const state = styles.find((style) => style.letter === letter).name;
  const lines = [[ids[image], "name"]];
  const place = image < pool ? order.indexOf(image) : -1;
  lines.push([place >= 0 ? `${state}, ${place + 1} in the pick order` : state, "state"]);
  if (image < pool && notes[image]) lines.push([notes[image]]);
  const mates = image < pool ? matesOf(content.fixed, image) : [];
  if (mates.length) lines.push([`same patient: ${mates.slice(0, 5).join(", ")}${mates.length > 5 ? ", ..." : ""}`]);
  for (const one of colours) {
    const value = one.values ? one.values[image] : one.names[one.numbers[image]];
    if (value !== null && value !== undefined) lines.push([`${one.title}: ${value}`]);
  }
  if (image < pool && terms[image]) {
    const [, score, density, novelty, diversity, reason] = terms[image];
    lines.push([`score ${score}: density ${density}, novelty ${novelty}, diversity ${diversity}`]);
    lines.push([reason, "reason"]);
  }
  return lines;
}

/** Fill `where` with the picture and the lines of an image. `picture` gives the address of a picture, or null. */
function fillCard(where, content, image, states, picture) {
  const shown = element("img");
  shown.alt = "";
  shown.hidden = true;
  where.dataset.image = image;
  where.replaceChildren(shown, ...linesOf(content, image, states).map(([text, kind]) => element("div", text, kind)));
  Promise.resolve(picture(image)).then((address) => {
    if (address === null || where.dataset.image !== String(image)) return;
    shown.src = address;
    shown.hidden = false;
  });
}

const SHAPES = {
  "x-thin-open": "M4,4 L12,12 M12,4 L4,12",
  "circle-open": "M8,3.5 A4.5,4.5 0 1 1 7.99,3.5 Z",
  circle: "M8,3 A5,5 0 1 1 7.99,3 Z",
  diamond: "M8,2 L14,8 L8,14 L2,8 Z",
  star: "M8,1 L10,6 L15.5,6.2 L11.2,9.6 L12.7,15 L8,11.9 L3.3,15 L4.8,9.6 L0.5,6.2 L6,6 Z",
  "triangle-down-open": "M3,4 L13,4 L8,12.5 Z",
  "square-x-open": "M3,3 H13 V13 H3 Z M3,3 L13,13 M13,3 L3,13",
};

/** A mark as a small drawing. */
function markOf(symbol, colour) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[symbol] || SHAPES.circle);
  path.setAttribute("fill", symbol.endsWith("-open") ? "none" : colour);
  path.setAttribute("stroke", symbol.endsWith("-open") ? colour : "#1A1A1A");
  drawing.append(path);
  return drawing;
}
