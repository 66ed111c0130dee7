/** The diagnostics of the search: profiles (71xx), certificates of plans with the latency tables in them (72xx), and the search itself (73xx). */
export const SEARCH_CODES = {
  MOA7101: 'The file is not a safetensors file: its header is missing or cannot be read.',
  MOA7102: 'The header of a safetensors file describes a tensor wrongly.',
  MOA7103: 'A safetensors file is truncated, or holds bytes that belong to no tensor.',
  MOA7104: 'A file changed while it was read, or since.',
  MOA7105: 'The file is not a profile, or one of another version.',
  MOA7106: 'The description in a profile misses a key, has one too many, or a wrong value.',
  MOA7107: 'A tensor of a profile is missing, unknown, or has another type or shape.',
  MOA7108: 'An influence is NaN, infinite or negative.',
  MOA7109: 'A profile has influence where no pair of query and key is causal.',
  MOA7110: 'The influence of a head is zero everywhere.',
  MOA7111: "A profile has influence outside the model's own window.",
  MOA7201: 'The plan has no certificate.',
  MOA7202: 'The certificate is of a format or version that is not read.',
  MOA7203: 'A key of a certificate or latency table is missing or unknown.',
  MOA7204: 'A value of a certificate or latency table has the wrong type or is outside its range.',
  MOA7205: 'Parts of a certificate contradict each other, or the plan it belongs to.',
  MOA7206: 'A latency table does not cover the lengths or spans that are asked of it.',
  MOA7301: 'No plan holds the bounds; the message says which, and what is nearest.',
  MOA7302: 'No plan was found that holds the bounds, and that there is none was not proven.',
  MOA7303: 'The grid has no candidate, or too many.',
  MOA7304: 'HiGHS failed; the plan is that of the exchanges, with the gap that was proven.',
  MOA7305: 'Options of a search contradict each other, or one is missing.',
  MOA7306: 'No Python with the packages that are needed was found.',
  MOA7307: 'A step in Python ended without a result.',
  MOA7308: 'The answer of a validation is not one, or belongs to another request.',
  MOA7309: 'The work folder holds the profile of other inputs.',
  MOA7310: 'The model or the data changed while the search ran.',
  MOA7311: 'The profile was made from another model than the one that is given.',
} as const;

/** Those of `profile`, the part of the search in Python (74xx). */
export const PROFILER_CODES = {
  MOA7400: 'A Python package that is needed is missing or too old.',
  MOA7401: "The model's folder cannot be loaded, or its architecture does not use the attention interface of transformers.",
  MOA7402: 'A line of the data is not a sample.',
  MOA7403: 'A length has no sample.',
  MOA7404: 'An option or a length is not legal.',
  MOA7405: 'A loss or an influence is not finite.',
  MOA7406: 'A partial profile belongs to other inputs.',
  MOA7407: 'The request for a validation is not legal.',
  MOA7408: 'The memory does not suffice.',
  MOA7409: 'The output cannot be written.',
} as const;

export type SearchCode = keyof typeof SEARCH_CODES;
