/** The two things this page asks of the DOM. */

/** The element of this id; the page is broken without it. */
export function must(id: string): HTMLElement;
export function must<E extends HTMLElement>(id: string, kind: new () => E): E;
export function must(id: string, kind: new () => HTMLElement = HTMLElement): HTMLElement {
  const found = document.getElementById(id);
  if (!(found instanceof kind))
    throw new Error(`index.html lacks #${id}, or it is no ${kind.name}`);
  return found;
}

/** A new element with attributes and children. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
