// The program's side of conversation.py: `visit URL`, `check NAME ok|failed WHY`, `result JSON`.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Has a person follow a link; returns the address the browser was sent back to. */
export async function visit(url) {
  console.log(`visit ${url}`)
  const { value } = await lines.next()
  return new URL(value)
}

/** Tries one thing and says how it went; returns what it gave. */
export async function step(name, tried) {
  try {
    const found = await tried()
    console.log(`check ${name} ok`)
    return found
  } catch (error) {
    const why = [error.code, error.message, JSON.stringify(error.cause ?? '')].join(' ')
    console.log(`check ${name} failed ${why.replaceAll('\n', ' ').slice(0, 400)}`)
    return undefined
  }
}

/** Says whether something is so. */
export function check(name, holds, why = '') {
  console.log(`check ${name} ${holds ? 'ok' : `failed ${why}`}`)
}

export function finish(found) {
  console.log(`result ${JSON.stringify(found)}`)
  process.exit(0)
}
