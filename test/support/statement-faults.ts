/** What can go wrong with single statements of a batch: some are refused by the service while the others of their call are done. */

import type {
  BatchExecuteStatementCommandInput,
  BatchStatementErrorCodeEnum,
} from "@aws-sdk/client-dynamodb";

import type { AwsClients } from "#shared/aws/clients.ts";

export interface StatementFaults {
  /** The next `times` statements that a parameter of this text is of are not done, with that error. */
  refuse(parameter: string, code: BatchStatementErrorCodeEnum, times?: number): void;
  heal(): void;
}

type Input = { input: BatchExecuteStatementCommandInput };
type Output = { output: { Responses?: object[] } };
interface Stack {
  add(
    middleware: (next: (args: Input) => Promise<Output>) => (args: Input) => Promise<Output>,
    options: { step: "initialize"; name: string },
  ): void;
}

export function statementFaults({ dynamo }: AwsClients): StatementFaults {
  let planned: { parameter: string; code: string; left: number }[] = [];

  /** The error planned for a statement; null: none. */
  function errorOf(parameters: unknown): object | null {
    const text = JSON.stringify(parameters);
    const plan = planned.find(({ parameter, left }) => left > 0 && text.includes(parameter));
    if (!plan) return null;
    plan.left--;
    return { Error: { Code: plan.code, Message: "of the test" } };
  }

  (dynamo.middlewareStack as unknown as Stack).add(
    (next) => async (args) => {
      const { Statements } = args.input;
      if (!Statements) return await next(args);
      const errors = Statements.map(({ Parameters }) => errorOf(Parameters));
      const left = Statements.filter((_, i) => errors[i] === null);
      const done =
        left.length > 0
          ? await next({ ...args, input: { ...args.input, Statements: left } })
          : { output: { Responses: [] } };
      const answers = [...(done.output.Responses ?? [])];
      const Responses = errors.map((error) => error ?? (answers.shift() as object));
      return { ...done, output: { ...done.output, Responses } };
    },
    { step: "initialize", name: "statementFaults" },
  );

  return {
    refuse: (parameter, code, times = 1) => void planned.push({ parameter, code, left: times }),
    heal: () => {
      planned = [];
    },
  };
}
