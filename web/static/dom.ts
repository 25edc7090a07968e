// Elements and text nodes; nothing here ever reads markup.

type Child = Node | string | number | null | undefined | false;
type Attributes = Record<string, string | number | boolean | null | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  set(e, attributes);
  add(e, children);
  return e;
}

export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(e, attributes);
  add(e, children);
  return e;
}

/** true is an empty attribute; false, null and undefined are none. */
export function set(e: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes))
    if (value === false || value === null || value === undefined) e.removeAttribute(name);
    else e.setAttribute(name, value === true ? "" : String(value));
}

function add(e: Element, children: Child[]): void {
  for (const c of children)
    if (c !== null && c !== undefined && c !== false) e.append(typeof c === "number" ? String(c) : c);
}

/** Writes only what differs, so that a reader's selection and the browser's layout stay. */
export function text(e: Element, value: string): void {
  if (e.textContent !== value) e.textContent = value;
}

export function on<K extends keyof HTMLElementEventMap>(
  e: HTMLElement,
  type: K,
  handler: (event: HTMLElementEventMap[K]) => void,
): void {
  e.addEventListener(type, handler);
}
