// Films go up while the rest of the form is filled in; what is interrupted goes on where it was (tus 1.0).
const form = document.querySelector("form.sending")
const input = form.querySelector("[type=file]"), list = form.querySelector(".uploads")
const language = document.documentElement.lang
const percent = new Intl.NumberFormat(language, { style: "percent" })
const size = new Intl.NumberFormat(language, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 })
const TRIES = 8, PIECE = 64 * 2 ** 20
const sending = []
let waiting = false

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds))
const clock = seconds => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`
const base64 = text => btoa(String.fromCharCode(...new TextEncoder().encode(text)))

/** What the server says of a refusal, in a line. */
async function words(answer) {
  try {
    const problem = await answer.json()
    return problem.detail ?? problem.title
  } catch { return `HTTP ${answer.status}` }
}

function piece(address, blob, offset, progress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest()
    request.open("PATCH", address)
    request.setRequestHeader("Content-Type", "application/offset+octet-stream")
    request.setRequestHeader("Upload-Offset", offset)
    request.setRequestHeader("Tus-Resumable", "1.0.0")
    request.upload.onprogress = event => progress(offset + event.loaded)
    request.onload = () => request.status < 300 ? done() : failed(request)
    request.onerror = request.onabort = () => failed(null)
    request.send(blob)
  })
}

async function upload(file, item) {
  const answer = await fetch(form.dataset.uploads, {
    method: "POST",
    headers: { "Upload-Length": file.size, "Upload-Metadata": `filename ${base64(file.name)}`, "Tus-Resumable": "1.0.0" },
  })
  if (!answer.ok) throw new Error(await words(answer))
  const { id } = await answer.json()
  const address = `${form.dataset.uploads}/${id}`
  const begun = performance.now()
  let offset = 0, tries = 0
  const progress = sent => item.progress(sent, file.size, (file.size - sent) * (performance.now() - begun) / 1000 / Math.max(sent, 1))
  while (offset < file.size) {
    try {
      await piece(address, file.slice(offset, offset + PIECE), offset, progress)
      offset = Math.min(offset + PIECE, file.size)
      tries = 0
    } catch (request) {
      if (request && request.status < 500 && ![408, 409, 429].includes(request.status) || ++tries > TRIES) {
        let said = ""
        try { said = JSON.parse(request.responseText).detail } catch { /* no words */ }
        throw new Error(said || `HTTP ${request?.status ?? 0}`)
      }
      item.say(list.dataset.again)
      await pause(Math.min(2 ** tries, 30))
      const answer = await fetch(address, { method: "HEAD" }).catch(() => null)
      if (answer?.ok) offset = Number(answer.headers.get("Upload-Offset"))
    }
  }
  return id
}

class Item {
  constructor(file) {
    this.element = list.appendChild(document.createElement("li"))
    const name = this.element.appendChild(document.createElement("b"))
    name.textContent = file.name
    this.bar = document.createElement("progress")
    this.bar.max = 1
    this.bar.value = 0
    this.bar.setAttribute("aria-label", file.name)
    this.words = document.createElement("span")
    this.words.className = "sub"
    this.element.append(this.bar, this.words)
  }
  progress(sent, all, left) {
    this.bar.value = sent / all
    const values = { percent: percent.format(sent / all), size: size.format(all / 1e6), left: clock(left) }
    this.say(list.dataset.sending.replace(/{(\w+)}/g, (_, name) => values[name]))
  }
  say(text, kind = "") {
    this.words.textContent = text
    this.element.className = kind
  }
}

function add(files) {
  for (const file of files) {
    const item = new Item(file)
    const job = upload(file, item).then(id => {
      item.bar.value = 1
      item.say(list.dataset.sent)
      const field = form.appendChild(document.createElement("input"))
      Object.assign(field, { type: "hidden", name: "upload", value: id })
    }, error => {
      item.say(`${list.dataset.refused}: ${error.message}`, "bad")
      throw error
    })
    job.catch(() => {})  // it has said so
    sending.push(job)
  }
  input.value = ""
  if ("auto" in form.dataset && files.length) form.requestSubmit()
}

input.addEventListener("change", () => add([...input.files]))
form.addEventListener("submit", async event => {
  if (!sending.length) return
  event.preventDefault()
  if (waiting) return
  busy(true)
  let ended = []
  while (ended.length !== sending.length) ended = await Promise.allSettled(sending)
  busy(false)
  if (ended.every(one => one.status === "fulfilled")) {
    input.disabled = true
    form.submit()
  } else sending.splice(0, Infinity, ...sending.filter((_, number) => ended[number].status === "fulfilled"))
})

/** While films go up that are to be sent. What is refused says why; the next press sends the others. */
function busy(now) {
  waiting = now
  const button = form.querySelector("button:not([type])")
  if (now) button.setAttribute("aria-busy", "true")
  else button.removeAttribute("aria-busy")
}

for (const name of ["dragenter", "dragover"]) addEventListener(name, event => {
  if (![...event.dataTransfer.types].includes("Files")) return
  event.preventDefault()
  form.classList.add("over")
})
addEventListener("dragleave", event => { if (!event.relatedTarget) form.classList.remove("over") })
addEventListener("drop", event => {
  event.preventDefault()
  form.classList.remove("over")
  add([...event.dataTransfer.files])
})
