// The page of a server: asks for the map with the token of whoever is logged in, and follows the annotators.
"use strict";

const PAUSE = 3000; // milliseconds between two questions
const REMEMBERED = 400; // pictures kept
const TOKEN = "xssr-token";

/** An answer that is no 200. */
class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function ask(path) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.ok) return answer;
  let sentence = answer.statusText;
  try { sentence = (await answer.json()).detail; } catch { /* the status has to do */ }
  throw new Refused(answer.status, sentence);
}

const remembered = new Map();

function picture(image) {
  if (!remembered.has(image)) {
    const { ids, pool } = page.content.fixed;
    const asked = new URLSearchParams({ image: ids[image], domain: image < pool ? "target" : "source" });
    const made = ask(`map/thumbnail?${asked}`).then((answer) => answer.blob()).then(URL.createObjectURL, () => null);
    remembered.set(image, made);
    if (remembered.size > REMEMBERED) forget(remembered.keys().next().value);
  }
  return remembered.get(image);
}

function forget(image) {
  remembered.get(image).then((address) => address && URL.revokeObjectURL(address));
  remembered.delete(image);
}

const page = new MapPage(picture);

function tell(sentence) {
  at("status").textContent = sentence;
  at("status").hidden = !sentence;
}

/** Ask once: for the whole map, or whether what is shown still holds. */
async function look() {
  const shown = page.content === null ? "" : page.content.changing.version;
  const answer = await (await ask(`map/${shown ? "state" : "data"}?version=${encodeURIComponent(shown)}`)).json();
  at("login").hidden = true;
  tell(answer.waiting || "");
  if (answer.content) {
    [...remembered.keys()].forEach(forget);
    await page.start(answer.content);
  } else if (answer.changing) await page.change(answer.changing);
}

let timer = null;

async function follow() {
  clearTimeout(timer);
  try {
    if (!document.hidden) await look();
  } catch (error) {
    if (error.status === 401) {
      at("login").hidden = false;
      tell("");
      return; // the form goes on from here
    }
    if (error.status === 403) {
      tell(`You may not see the map: ${error.message}.`);
      at("login").hidden = false;
      return;
    }
    tell(`The server does not answer; trying again. (${error.message})`);
  }
  timer = setTimeout(follow, PAUSE);
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams({ username: at("user").value, password: at("password").value, grant_type: "password" });
  at("password").value = "";
  try {
    const answer = await fetch("../auth/token", { method: "POST", body, cache: "no-store" });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.detail);
    sessionStorage.setItem(TOKEN, content.access_token);
  } catch (error) {
    tell(`Not logged in: ${error.message}`);
    return;
  }
  follow();
});

document.addEventListener("visibilitychange", () => { if (!document.hidden && at("login").hidden) follow(); });
follow();
