// What is known of one option: its variable, default, valid values and meaning.
import type { z } from 'zod';

export interface Option<T> {
  variable: string;
  /** Parses the text of the variable or flag. Its error says what is allowed. */
  schema: z.ZodType<T>;
  default?: string;
  /** One word for the value in --help; absent: the flag can be given without a value. */
  placeholder?: string;
  meaning: string;
  /** The value contains a password and must not be shown. */
  isSecret?: true;
}

/** The options of a part of the configuration, by its fields. */
export type OptionTable<T> = { [Field in keyof Required<T>]: Option<Required<T>[Field]> };
