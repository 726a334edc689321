// The page around the map: controls, legend, the card of an image.
"use strict";

const at = (id) => document.getElementById(id);
const STEP = 140; // milliseconds between two picks while playing
const LISTED = 200; // images without a place that are listed by name

const CONFIG = {
  responsive: true, displaylogo: false, scrollZoom: true,
  plotGlPixelRatio: devicePixelRatio, // plotly's 2 is four times the work where a processor draws
  modeBarButtons: [["zoomIn2d", "zoomOut2d", "pan2d", "zoom2d", "resetScale2d"]],
};

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

/** The map on the page. `picture` gives the address of the picture of an image (a position in `ids`), or null. */
class MapPage {
  constructor(picture) {
    this.picture = picture;
    this.content = null;
    this.plot = at("plot");
    this.view = { colour: "state", shown: 0, hidden: new Set(), webgl: false, ring: null };
    this.playing = null;
    at("colour").addEventListener("change", () => { this.view.colour = at("colour").value; this.draw(); });
    at("order").addEventListener("input", () => this.showFirst(Number(at("order").value)));
    at("play").addEventListener("click", () => this.play());
    at("save").addEventListener("click", () => this.save());
    at("find-form").addEventListener("submit", (event) => { event.preventDefault(); this.find(at("find").value.trim()); });
  }

  /** Show content; the view stays as it is where it can. */
  start(content, colour) {
    const first = this.content === null;
    this.content = content;
    const { fixed, changing } = content;
    if (first) this.view = { ...this.view, shown: changing.now, colour: colour || "state" };
    this.view.ring = null;
    this.view.webgl = document.body.dataset.many === "yes" && !this.noWebGL && hasWebGL();
    const choices = [["state", "state"], ...fixed.colours.map((one) => [one.key, one.title])];
    if (!choices.some(([key]) => key === this.view.colour)) this.view.colour = "state";
    at("colour").replaceChildren(...choices.map(([key, title]) => {
      const option = element("option", title);
      option.value = key;
      return option;
    }));
    at("colour").value = this.view.colour;
    document.title = `Map of ${fixed.title}`;
    at("title").textContent = fixed.title;
    at("map").hidden = false;
    return this.change(changing, first);
  }

  /** Follow the annotators. */
  change(changing, first) {
    const followed = first || this.view.shown === this.content.changing.now;
    this.content.changing = changing;
    at("order").max = changing.order.length;
    if (followed || this.view.shown > changing.order.length) this.view.shown = changing.now;
    at("order").value = this.view.shown;
    at("order-box").disabled = changing.order.length === 0;
    at("summary").textContent = changing.summary;
    at("advice").textContent = changing.advice;
    this.strip();
    this.say();
    return this.draw();
  }

  async draw() {
    if (this.drawing) { this.again = true; return this.drawing; }
    this.drawing = this.drawNow();
    try { await this.drawing; } finally { this.drawing = null; }
  }

  async drawNow() {
    do {
      this.again = false;
      const { data, layout } = figureOf(this.content, this.view);
      const first = !this.plot.classList.contains("js-plotly-plot");
      await Plotly.react(this.plot, data, layout, CONFIG);
      if (this.view.webgl && this.plot.querySelector(".no-webgl")) {
        this.withoutWebGL();
        continue;
      }
      if (first) this.listen();
      this.legend();
      await new Promise(requestAnimationFrame);
    } while (this.again);
    this.plot.dataset.drawn = Number(this.plot.dataset.drawn || 0) + 1;
  }

  /** Draw without WebGL from now on: the browser has it, or had it, but it does not work. */
  withoutWebGL() {
    this.view.webgl = false;
    this.noWebGL = true;
    Plotly.purge(this.plot);
    this.plot.replaceChildren();
    this.again = true;
  }

  listen() {
    this.plot.on("plotly_webglcontextlost", () => { this.withoutWebGL(); this.draw(); });
    this.plot.on("plotly_hover", (event) => this.hover(event.points[0].customdata, event.event));
    this.plot.on("plotly_unhover", () => { at("tip").hidden = true; });
    this.plot.on("plotly_click", (event) => this.choose(event.points[0].customdata));
  }

  states() {
    return statesAt(this.content, this.view.shown);
  }

  hover(image, event) {
    if (image === undefined) return;
    const tip = at("tip");
    fillCard(tip, this.content, image, this.states(), this.picture);
    tip.hidden = false;
    const { clientX: x, clientY: y } = event;
    const low = y > innerHeight / 2; // its picture comes later: it grows away from the edge
    tip.style.left = `${x + 18 + tip.offsetWidth < innerWidth ? x + 18 : Math.max(0, x - 18 - tip.offsetWidth)}px`;
    tip.style.top = low ? "auto" : `${Math.max(0, y - 40)}px`;
    tip.style.bottom = low ? `${innerHeight - y - 40 > 0 ? innerHeight - y - 40 : 0}px` : "auto";
  }

  /** Show the card of an image beside the map, and a ring around its dot. */
  choose(image) {
    this.view.ring = image;
    fillCard(at("card"), this.content, image, this.states(), this.picture);
    return this.draw();
  }

  find(name) {
    const { ids } = this.content.fixed;
    let image = ids.indexOf(name);
    if (image < 0) image = ids.findIndex((id) => id.includes(name));
    at("found").textContent = image < 0 ? "No image of this name." : "";
    if (image >= 0 && name) this.choose(image);
  }

  showFirst(count) {
    this.view.shown = count;
    at("order").value = count;
    this.say();
    const image = this.content.changing.order[count - 1];
    if (image === undefined) return this.draw();
    return this.choose(image);
  }

  /** How far the slider is, in words. */
  say() {
    const { order, coverage, now } = this.content.changing;
    const shown = this.view.shown;
    const known = coverage[shown - 1];
    const parts = [order.length === 0 ? "no image is ranked yet" : `the first ${shown} of ${order.length}`];
    if (shown === now && order.length) parts.push("as it stands");
    at("order-text").textContent = parts.join(", ");
    at("coverage").textContent = known === null || known === undefined ? "" : `mean coverage ${known.toFixed(3)}`;
    at("order").setAttribute("aria-valuetext", [...parts, at("coverage").textContent].join(", "));
  }

  play() {
    const stop = () => { clearInterval(this.playing); this.playing = null; at("play").textContent = "Play"; };
    if (this.playing !== null) return stop();
    const end = this.content.changing.order.length;
    if (this.view.shown >= end) this.showFirst(0);
    at("play").textContent = "Stop";
    this.playing = setInterval(() => {
      if (this.drawing) return;
      if (this.view.shown >= end) stop();
      else this.showFirst(this.view.shown + 1);
    }, STEP);
  }

  save() {
    return Plotly.downloadImage(pictureOf(this.content, this.view), {
      format: "png", scale: 3, width: 1000, height: 800, filename: `map-${this.view.colour}`,
    });
  }

  legend() {
    const marks = legend(this.content, this.view, this.states()).map((one) => {
      if (one.letter === FAILED) { // stands in the list of those that are not on the map
        const row = element("div", undefined, "group");
        row.append(markOf(one.symbol, one.colour), element("span", one.title));
        return row;
      }
      const row = element("label"), box = element("input");
      box.type = "checkbox";
      box.checked = !this.view.hidden.has(one.letter);
      box.dataset.state = one.letter;
      box.addEventListener("change", () => {
        if (box.checked) this.view.hidden.delete(one.letter);
        else this.view.hidden.add(one.letter);
        this.draw();
      });
      row.append(box, markOf(one.symbol, one.colour), element("span", one.title));
      return row;
    });
    const groups = groupLegend(this.content, this.view).map((one) => {
      const row = element("div", undefined, "group");
      row.append(markOf("circle", one.colour), element("span", one.title));
      return row;
    });
    const focused = document.activeElement && document.activeElement.dataset.state;
    at("legend").replaceChildren(...marks);
    if (focused) at("legend").querySelector(`[data-state="${focused}"]`)?.focus();
    at("groups").replaceChildren(...groups);
  }

  /** The images without a place beside the map, so that none is lost. */
  strip() {
    const { ids, pool, x } = this.content.fixed;
    const { states, notes } = this.content.changing;
    const out = [];
    for (let i = 0; i < pool; i++) if (x[i] === null || states[i] === FAILED) out.push(i);
    at("strip").hidden = out.length === 0;
    at("strip-title").textContent = `Not on the map (${out.length.toLocaleString("en")})`;
    const items = out.slice(0, LISTED).map((i) => {
      const row = element("li");
      row.append(markOf(states[i] === FAILED ? "square-x-open" : "circle-open", "#1A1A1A"));
      row.append(element("b", ids[i]), element("span", ` ${notes[i] || ""}`));
      return row;
    });
    if (out.length > LISTED) items.push(element("li", `and ${(out.length - LISTED).toLocaleString("en")} more`));
    at("strip-list").replaceChildren(...items);
  }
}
