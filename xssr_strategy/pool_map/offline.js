// The page as a file: everything is in it.
"use strict";

const content = JSON.parse(at("content").textContent);
let pictures = null; // decoded when the first one is wanted

const page = new MapPage((image) => {
  if (pictures === null) pictures = JSON.parse(at("pictures").textContent);
  return pictures[image] ? `data:image/webp;base64,${pictures[image]}` : null;
});
page.start(content, at("content").dataset.colour);
