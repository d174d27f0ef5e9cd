// What people read: the player's own words, and the names of languages.

/** Put a page in English into the browser's language, if we have its words; return what translates a text. */
export function translator(root, words, given) {
  const language = given ?? navigator.languages.map((tag) => tag.split("-")[0]).find((tag) => tag in words || tag === "en") ?? "en";
  const own = words[language] ?? {};
  const word = (text) => own[text] ?? text;
  word.language = language;
  if (given) return word;
  document.documentElement.lang = language;
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data } = texts.currentNode;
    if (data.trim() in own) texts.currentNode.data = data.replace(data.trim(), own[data.trim()]);
  }
  for (const name of ["aria-label", "placeholder"]) {
    for (const element of [root, ...root.querySelectorAll(`[${name}]`)]) {
      if (element.hasAttribute(name)) element.setAttribute(name, word(element.getAttribute(name)));
    }
  }
  root.querySelector("media-controller")?.setAttribute("lang", language);
  return word;
}

export function languageName(tag, language) {
  try {
    return new Intl.DisplayNames([language], { type: "language" }).of(tag);
  } catch {
    return tag; // files call their languages what they like
  }
}
