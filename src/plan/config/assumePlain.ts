/** The option that takes a model type or a key that is not known as one of plain softmax attention. */
export const ASSUME_PLAIN_FLAG = '--assume-plain-attention';
