// From the map's content to what plotly draws. Nothing here knows of the page.
"use strict";

const CROWD = 3000; // dots above which they are drawn smaller
const LABELLED = "l", LEASED = "e", PICKED = "n", POOL = "p", SKIPPED = "k", FAILED = "f", SOURCE = "s";

/** A text in which plotly finds no markup. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

/** The letter of every image of the pool once the first `shown` of the pick order are annotated. */
function statesAt(content, shown) {
  const { states, order, now } = content.changing;
  if (shown === now) return states;
  const letters = Array.from(states);
  order.forEach((image, place) => {
    const begun = letters[image] === LABELLED || letters[image] === LEASED;
    if (place >= shown) letters[image] = POOL;
    else if (!begun) letters[image] = PICKED;
  });
  return letters.join("");
}

/** The colouring of the view, or undefined where the state alone colours. */
function colouring(content, view) {
  return content.fixed.colours.find((one) => one.key === view.colour);
}

/** The colour of one image, a number where a colour bar tells it, or null where there is nothing to tell. */
function colourOf(chosen, style, image) {
  if (!chosen || style.letter === FAILED) return style.colour;
  if (chosen.values) return chosen.values[image];
  const group = chosen.numbers[image];
  return group === null || group === undefined ? null : chosen.shades[group];
}

/** Positions in `ids` of the images that a state's mark shows; every image of the pool has the pool's mark below its own. */
function members(content, style, states) {
  const { ids, pool, x } = content.fixed;
  const found = [];
  if (style.letter === SOURCE) for (let i = pool; i < ids.length; i++) found.push(i);
  else {
    const below = style.letter === POOL;
    for (let i = 0; i < pool; i++) {
      const letter = states[i];
      if (letter === style.letter || (below && letter !== SKIPPED && letter !== FAILED)) found.push(i);
    }
  }
  return found.filter((i) => x[i] !== null);
}

/** How many images have each state. */
function countStates(content, states) {
  const counts = { [SOURCE]: content.fixed.ids.length - content.fixed.pool };
  for (const letter of states) counts[letter] = (counts[letter] || 0) + 1;
  return counts;
}

/** One kind of marks. `colour`: one for all, which is drawn much faster, or a number for each. */
function traceOf(content, view, style, images, colour) {
  const { x, y } = content.fixed;
  const crowded = content.fixed.ids.length > CROWD && (style.letter === POOL || style.letter === SOURCE);
  const marker = { symbol: style.symbol, size: crowded ? 0.7 * style.size : style.size, color: colour };
  if (Array.isArray(colour)) marker.coloraxis = "coloraxis";
  marker.line = { width: style.open ? 1.2 : 1, color: style.open ? undefined : "#1A1A1A" };
  return {
    type: view.webgl ? "scattergl" : "scatter",
    mode: "markers",
    name: plain(style.name),
    x: images.map((i) => x[i]),
    y: images.map((i) => y[i]),
    customdata: images,
    marker,
    hoverinfo: "none",
    showlegend: false,
    visible: view.hidden.has(style.letter) ? "legendonly" : true,
  };
}

/** The marks of one state, those of each colour together; in grey those of which there is nothing to tell. */
function tracesOf(content, view, style, states) {
  const chosen = colouring(content, view);
  const images = members(content, style, states);
  if (!chosen) return [traceOf(content, view, style, images, style.colour)];
  const parts = new Map(), numbers = [];
  for (const image of images) {
    const colour = colourOf(chosen, style, image);
    const part = typeof colour === "number" ? "numbers" : colour === null ? content.fixed.others : colour;
    if (!parts.has(part)) parts.set(part, []);
    parts.get(part).push(image);
    if (part === "numbers") numbers.push(colour);
  }
  return [...parts].map(([part, some]) => traceOf(content, view, style, some, part === "numbers" ? numbers : part));
}

/** A mark without a place, for the legend of the picture. */
function legendEntry(view, name, marker) {
  const type = view.webgl ? "scattergl" : "scatter";
  return { type, mode: "markers", x: [null], y: [null], name: plain(name), marker, showlegend: true, hoverinfo: "none" };
}

/** The marks that have a meaning at present, for legends: [title, symbol, colour, size, letter]. */
function legend(content, view, states) {
  const counts = countStates(content, states);
  const chosen = colouring(content, view);
  const shown = content.fixed.styles.filter((style) => counts[style.letter]);
  return shown.map((style) => ({
    title: `${style.name} (${counts[style.letter].toLocaleString("en")})`,
    symbol: style.symbol,
    colour: chosen ? "#1A1A1A" : style.colour,
    size: style.size,
    letter: style.letter,
  }));
}

/** The groups of the colouring: [{title, colour}], those of one colour together; empty unless it has groups. */
function groupLegend(content, view) {
  const chosen = colouring(content, view);
  if (!chosen || chosen.values) return [];
  const counts = chosen.names.map(() => 0);
  for (const number of chosen.numbers) if (number !== null) counts[number]++;
  return chosen.names.map((name, number) => ({
    title: `${chosen.title} ${name} (${counts[number].toLocaleString("en")})`,
    colour: chosen.shades[number],
  }));
}

/** Names of groups that lie together, each at the median of its places. */
function annotations(content, view) {
  const chosen = colouring(content, view);
  if (!chosen || !chosen.centred) return [];
  const { x, y } = content.fixed;
  const places = chosen.names.map(() => [[], []]);
  chosen.numbers.forEach((number, i) => {
    if (number === null || x[i] === null) return;
    places[number][0].push(x[i]);
    places[number][1].push(y[i]);
  });
  const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return places.flatMap(([xs, ys], number) => xs.length === 0 ? [] : [{
    x: middle(xs), y: middle(ys), text: plain(chosen.names[number]), showarrow: false,
    font: { size: 15, color: chosen.shades[number] }, bgcolor: "rgba(255,255,255,0.85)",
    bordercolor: chosen.shades[number], borderpad: 2,
  }]);
}

/** Data and layout of the map. `view`: {colour, shown, hidden (a Set of letters), webgl, ring (a position or null)}. */
function figureOf(content, view) {
  const states = statesAt(content, view.shown);
  const data = content.fixed.styles.flatMap((style) => style.letter === FAILED ? [] : tracesOf(content, view, style, states));
  const { x, y } = content.fixed;
  const ringed = view.ring !== null && x[view.ring] !== null ? [view.ring] : [];
  data.push({
    type: view.webgl ? "scattergl" : "scatter", mode: "markers", name: "ring", showlegend: false, hoverinfo: "skip",
    x: ringed.map((i) => x[i]), y: ringed.map((i) => y[i]),
    marker: { symbol: "circle-open", size: 24, color: "#1A1A1A", line: { width: 2.5 } },
  });
  const axis = { visible: false, zeroline: false, showgrid: false };
  const chosen = colouring(content, view);
  const layout = {
    margin: { l: 8, r: 8, t: 8, b: 8 },
    paper_bgcolor: "white", plot_bgcolor: "white",
    font: { family: "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", size: 13, color: "#1A1A1A" },
    xaxis: axis, yaxis: { ...axis, scaleanchor: "x" },
    hovermode: "closest", dragmode: "pan", showlegend: false,
    annotations: annotations(content, view),
    uirevision: content.fixed.version, datarevision: ++revision,
  };
  if (chosen && chosen.values) {
    layout.coloraxis = { colorscale: content.fixed.scale, reversescale: chosen.reversed, colorbar: { title: { text: plain(chosen.title), side: "right" }, thickness: 14, len: 0.7 } };
  }
  return { data, layout };
}

let revision = 0;

/** The same with a legend inside and without the ring, for the picture that is saved. */
function pictureOf(content, view) {
  const { data, layout } = figureOf(content, { ...view, ring: null });
  const states = statesAt(content, view.shown);
  const marks = legend(content, view, states).filter((one) => !view.hidden.has(one.letter) && one.letter !== FAILED);
  for (const one of marks) data.push(legendEntry(view, one.title, { symbol: one.symbol, color: one.colour, size: one.size }));
  for (const one of groupLegend(content, view)) data.push(legendEntry(view, one.title, { symbol: "circle", color: one.colour, size: 9 }));
  layout.showlegend = true;
  layout.legend = { orientation: "h", y: -0.02, x: 0.5, xanchor: "center", yanchor: "top" };
  return { data, layout };
}
