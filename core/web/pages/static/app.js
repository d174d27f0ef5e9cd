// What makes the pages live; all of them work without it.
const root = document.documentElement
const base = document.body.dataset.base
const words = JSON.parse(document.getElementById("words").textContent)
const language = root.lang
const $ = (selector, within = document) => within.querySelector(selector)
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)]
root.classList.add("js")

// Numbers and times

const percent = new Intl.NumberFormat(language, { style: "percent" })
const decimal = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const relative = new Intl.RelativeTimeFormat(language, { style: "short" })
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "medium" })
const hours = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" })
const UNITS = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]

function clock(seconds) {
  const whole = Math.max(Math.round(seconds), 0)
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = number => String(number).padStart(2, "0")
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

function ago(moment) {
  const seconds = (moment - Date.now()) / 1000
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1)
  return relative.format(Math.round(seconds / length), unit)
}

function writeTimes(within = document) {
  for (const time of $$("time", within)) {
    const moment = new Date(time.dateTime)
    if (isNaN(moment)) continue  // a place in a film
    time.title = exact.format(moment)
    time.textContent = "clock" in time.dataset ? hours.format(moment) : ago(moment)
  }
}

setInterval(writeTimes, 20_000)

// Regions: each [data-live] has an id, and is what the server would write there now

function say(text) { $("#said").textContent = text }

/** Make what stands in `now` what stands in `then`, touching only what differs: focus, choices and films stay. */
function morph(now, then) {
  if (now.isEqualNode(then)) return
  for (const { name } of [...now.attributes]) if (!then.hasAttribute(name) && name !== "open") now.removeAttribute(name)
  for (const { name, value } of then.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value)
  const known = new Map([...now.children].filter(one => one.id).map(one => [one.id, one]))
  const wanted = new Set([...then.children].map(one => one.id).filter(Boolean))
  let place = now.firstChild
  const drop = () => { const next = place.nextSibling; place.remove(); place = next }
  for (const next of [...then.childNodes]) {
    let same = next.id ? known.get(next.id) : place && !place.id && place.nodeName === next.nodeName ? place : null
    while (next.id && same && place && place !== same && !wanted.has(place.id)) drop()  // what is moved loses the focus
    if (!same) now.insertBefore(same = document.importNode(next, true), place)
    else {
      if (same !== place) now.insertBefore(same, place)
      if (same.nodeType === Node.ELEMENT_NODE) morph(same, next)
      else if (same.nodeValue !== next.nodeValue) same.nodeValue = next.nodeValue
    }
    place = same.nextSibling
  }
  while (place) drop()
}

function show(text, { announce = false } = {}) {
  const page = new DOMParser().parseFromString(text, "text/html")
  for (const region of $$("[data-live]")) {
    const then = page.getElementById(region.id)
    if (!then || (region.id === "notice" && !then.children.length)) continue
    if (region.dataset.key !== undefined && region.dataset.key === then.dataset.key) continue
    writeTimes(then)
    if (region.dataset.key !== undefined) {  // there is more to play: a player's modules begin with their page
      if ($$("video, audio", region).some(film => !film.paused)) continue
      return location.reload()
    }
    morph(region, then)
  }
  if (announce && $("#notice").textContent.trim()) say($("#notice").textContent.trim())
  count()
}

const SHORTEST = 1500
let last = 0, due = null, shown = 0

/** Ask for the page again, soon; many changes are one question, and not all browsers ask at once. */
function refresh(wait = SHORTEST) {
  if (due || document.hidden) return
  const pause = Math.max(wait - (performance.now() - last), 0) + Math.random() * 300
  due = setTimeout(async () => {
    due = null
    last = performance.now()
    await load(current())
  }, pause)
}

/** The address of what is shown: as many rows of a list as there are, though the server begins with fewer. */
function current() {
  const url = new URL(location.href), rows = $$("#rows-list > li").length
  if (rows) url.searchParams.set("limit", Math.max(rows, 50))
  return url
}

async function load(address, options) {
  const number = ++shown
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, ...options })
    const text = await answer.text()
    if (number === shown && (answer.headers.get("content-type") ?? "").startsWith("text/html")) show(text, { announce: !!options })
    return answer
  } catch { away("lost") }
}

// Events: a job has changed

function far(element, row) {
  const { done, total, speed } = row.progress
  const part = total > 0 ? Math.min(done / total, 1) : 0
  const bar = $(".bar", element)
  if (!bar) return refresh()
  bar.setAttribute("aria-valuenow", Math.floor(part * 100))
  $(".done", bar).style.transform = `scaleX(${part})`
  const texts = {
    percent: percent.format(Math.floor(part * 100) / 100),
    speed: speed ? `${speed < 100 ? decimal.format(speed) : Math.round(speed)}x` : "",
    left: speed > 0 && total > 0 ? words.left.replace("{time}", clock((total - done) / speed)) : "",
    hosts: row.hosts.join(", "),
  }
  for (const [name, text] of Object.entries(texts)) {
    const place = $(`[data-far="${name}"]`, element)
    if (place && place.textContent !== text) place.textContent = text
  }
}

function changed(row) {
  const shown = $$(`[data-job="${CSS.escape(row.id)}"]`)
  let whole = !shown.length
  for (const element of shown) {
    const { state, step, title } = element.dataset
    if (state !== row.state) {
      whole = true
      say(`${title}: ${words.states[row.state]}`)
    } else if (step && step !== (row.step ?? "")) whole = true
    else if (row.progress) far(element, row)
  }
  if (whole) refresh()
  else if ($("[data-slow]")) refresh(5000)
}

function away(why) {
  $("#away").hidden = !why
  if (why) $("#away span").textContent = $("#away span").dataset[why]
}

let lost = false
if (document.body.dataset.events) {
  const source = new EventSource(document.body.dataset.events)
  const rows = event => { for (const row of [JSON.parse(event.data)].flat()) changed(row) }
  source.addEventListener("job", rows)
  source.addEventListener("removed", () => refresh())
  source.addEventListener("missed", () => refresh())
  source.addEventListener("outage", () => away("outage"))
  source.addEventListener("back", () => { away(); refresh(0) })
  source.onerror = () => { lost = true; away("lost") }
  source.onopen = () => { away(); if (lost) refresh(0); lost = false }
  addEventListener("beforeunload", () => { source.onerror = null; source.close() })
}
document.addEventListener("pause", () => refresh(), true)
document.addEventListener("visibilitychange", () => document.hidden || refresh(0))
if ($("[data-poll]")) setInterval(refresh, 5000)

// Buttons: pressed once, they say what they do until the answer has come

document.addEventListener("submit", async event => {
  const form = event.target, button = event.submitter
  if (button?.dataset.sure && !confirm(button.dataset.sure)) return event.preventDefault()
  if (form.method !== "post" || !form.closest("[data-live], #list") || form.enctype === "multipart/form-data") return
  event.preventDefault()
  const data = new URLSearchParams(new FormData(form, button))
  const word = button.textContent
  button.setAttribute("aria-busy", "true")
  button.disabled = true
  if (button.dataset.busy) button.textContent = button.dataset.busy
  const answer = await load(button.hasAttribute("formaction") ? button.formAction : form.action, { method: "POST", body: data })
  button.removeAttribute("aria-busy")
  button.disabled = false
  if (button.isConnected && button.textContent === button.dataset.busy) button.textContent = word
  if (answer?.ok) { for (const box of $$("input[name=job]:checked")) box.checked = false; count() }
})

document.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]")
  if (!button) return
  try {
    await navigator.clipboard.writeText(button.dataset.copy)
    button.classList.add("done")
    say(words.copied)
    setTimeout(() => button.classList.remove("done"), 1500)
  } catch { getSelection().selectAllChildren($("code", button)) }
})

// The list: search as one types, more, and several at once

const filters = $("#filters")
let typing
if (filters) {
  const ask = () => {
    const asked = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value))
    const address = `${filters.action}${asked.size ? `?${asked}` : ""}`
    history.replaceState(null, "", address)
    return load(address)
  }
  filters.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(ask, 200) })
  filters.addEventListener("submit", async event => {
    event.preventDefault()
    clearTimeout(typing)
    await ask()
    if (document.activeElement.type === "search") step(1)  // where Enter was pressed: on to what was found
  })
}

document.addEventListener("click", async event => {
  const more = event.target.closest("a[data-more]")
  if (!more || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  const answer = await fetch(more.href)
  const page = new DOMParser().parseFromString(await answer.text(), "text/html")
  const next = $$("#rows-list > li", page).filter(row => !document.getElementById(row.id))
  writeTimes(page)
  $("#rows-list").append(...next.map(row => document.importNode(row, true)))
  const link = $("a[data-more]", page)
  if (link) more.href = link.href
  else more.parentElement.remove()
  if ($$("#rows-list > li").length > 500) $("#rows").removeAttribute("data-live")  // more than the server gives at once
  if (next.length) document.getElementById(next[0].id).querySelector("a").focus()
})

function count() {
  const boxes = $$("input[name=job]"), picked = boxes.filter(box => box.checked).length
  if (!$("#picked")) return
  $("#bulk").classList.toggle("some", picked > 0)
  $("#picked").textContent = (picked === 1 ? $("#picked").dataset.one : $("#picked").dataset.many).replace("{n}", picked)
  $("#pick-all").hidden = !boxes.length
  $("#pick-all").checked = picked > 0 && picked === boxes.length
  $("#pick-all").indeterminate = picked > 0 && picked < boxes.length
}
document.addEventListener("change", event => {
  if (event.target.id === "pick-all") for (const box of $$("input[name=job]")) box.checked = event.target.checked
  count()
})

// Keys

const off = $("#keys-off")
off.checked = localStorage.getItem("keys") === "off"
off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"))
$("#help").hidden = false
$("#help").addEventListener("click", () => $("#keys").showModal())

let gone = -Infinity
const rows = () => $$(".row, .failures > li[data-job]")
const here = () => document.activeElement.closest?.(".row, .failures > li[data-job]")

function step(by) {
  const all = rows(), at = all.indexOf(here())
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]
  next?.querySelector("a").focus()
}

const KEYS = {
  "/": () => ($("#filters [type=search]") ?? $("#find"))?.focus(),
  "?": () => $("#keys").showModal(),
  g: () => { gone = performance.now() },
  j: () => step(1),
  k: () => step(-1),
  x: () => here()?.querySelector("input[name=job]")?.click(),
  r: () => {
    const row = here(), several = $('#bulk.some [formaction$="/retry"]')
    if (several) return several.click()
    const button = $(':scope form[action$="/retry"] button', row ?? $("#head") ?? document.createElement("p"))
    if (button) return button.click()
    if (row?.dataset.state === "failed") load(`${base}/jobs/${row.dataset.job}/retry`, { method: "POST", body: new URLSearchParams({ then: location.pathname + location.search }) })
  },
}

document.addEventListener("keydown", event => {
  const { target, key } = event
  if (event.ctrlKey || event.metaKey || event.altKey || off.checked || $("dialog[open]")) return
  if (key === "Escape" && target.type === "search") return target.blur()
  if (target.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable], media-controller, video")) return
  const place = performance.now() - gone < 1500 && $(`[data-go="${CSS.escape(key)}"]`)
  gone = -Infinity
  if (place) place.click()
  else if (KEYS[key]) KEYS[key]()
  else return
  event.preventDefault()
})

writeTimes()
count()
