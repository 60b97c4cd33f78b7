/** Comma-separated values (RFC 4180), read a piece of text at a time and written. Line ends may be CRLF, LF or CR. */

import { DomainError } from "./errors.ts";

export interface CsvReader {
  /** The records that are complete now. Throws a `DomainError` for what is no CSV. */
  push(text: string): string[][];
  /** The rest. Throws when a quoted field is not closed. */
  end(): string[][];
}

/** More is not meant to be a field, or a record. */
const MAX_RECORD_CHARS = 65_536;
const BYTE_ORDER_MARK = "\ufeff";

/** `start` of a field · `plain` inside one · `quoted` inside quotes · `quote` just behind a quote that may end them */
type Place = "start" | "plain" | "quoted" | "quote";

/** Empty lines are left out. */
export function csvReader(): CsvReader {
  let place: Place = "start";
  let field = "";
  let record: string[] = [];
  let chars = 0;
  let isFirst = true;

  const endField = (): void => {
    record.push(field);
    field = "";
    place = "start";
  };
  const endRecord = (records: string[][]): void => {
    endField();
    if (record.length > 1 || record[0] !== "") records.push(record);
    record = [];
    chars = 0;
  };
  const take = (char: string, records: string[][]): void => {
    if (++chars > MAX_RECORD_CHARS) throw notCsv(`a record has over ${MAX_RECORD_CHARS} characters`);
    if (place === "quoted") {
      if (char === '"') place = "quote";
      else field += char;
    } else if (char === '"' && place === "start") place = "quoted";
    else if (char === '"' && place === "quote") {
      field += char;
      place = "quoted";
    } else if (char === ",") endField();
    else if (char === "\n" || char === "\r") endRecord(records);
    else if (place === "quote") throw notCsv("there is text behind a closing quote");
    else {
      field += char;
      place = "plain";
    }
  };
  return {
    push(text) {
      const records: string[][] = [];
      const start = isFirst && text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
      if (text !== "") isFirst = false;
      for (const char of text.slice(start)) take(char, records);
      return records;
    },
    end() {
      if (place === "quoted") throw notCsv("a quote is not closed");
      const records: string[][] = [];
      endRecord(records);
      return records;
    },
  };
}

/** All records of a text. */
export function readCsv(text: string): string[][] {
  const reader = csvReader();
  return [...reader.push(text), ...reader.end()];
}

/** One line, with its end. */
export function csvLine(fields: readonly string[]): string {
  return `${fields.map(printField).join(",")}\r\n`;
}

function printField(field: string): string {
  return /[",\r\n]|^\s|\s$|^\ufeff/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function notCsv(why: string): DomainError {
  return new DomainError("invalid-body", `the body is not CSV: ${why}`);
}
