// Small helpers for elements. Names of pictures and classes are a stranger's: text, never HTML.

/** Return the element with an id. */
export const byId = (id) => document.getElementById(id);

/** Return a new element with properties and children; data of people goes in as text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Return a new SVG element with attributes. */
export function drawn(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Show a line about what is wrong; "" takes it away. */
export function sayFault(line) {
  const place = byId("fault");
  place.textContent = line;
  place.hidden = !line;
}
