// Lets the programs here import what tools/node has installed: `node --import peers.mjs x.mjs`.
import { registerHooks } from 'node:module'

const installed = new URL('../../../tools/node/', import.meta.url).href

registerHooks({
  resolve(specifier, context, next) {
    const bare = !specifier.startsWith('.') && !specifier.includes(':')
    const here = context.parentURL?.startsWith(new URL('.', import.meta.url).href)
    return next(specifier, bare && here ? { ...context, parentURL: installed } : context)
  },
})
