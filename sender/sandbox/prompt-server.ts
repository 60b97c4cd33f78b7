/**
 * smtp-server that greets at once. It waits 100 ms otherwise, to catch clients that talk too soon; the clients of the sandbox are our
 * own. It can hang up too, without a word.
 */

/* oxlint-disable eslint/no-underscore-dangle -- the names are those of smtp-server 3.21.6, typed but not documented */

import type { Socket } from "node:net";

import { SMTPServer } from "smtp-server";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import type { SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";

class PromptConnection extends SMTPConnection {
  override init(): void {
    this._setListeners(() => {
      const { maxClients = Infinity } = this._server.options;
      if (this._server.connections.size > maxClients) this.send(421, "4.3.2 Too many connections");
      else this.connectionReady();
    });
  }

  hangUp(): void {
    this._socket.destroy();
  }
}

export class PromptServer extends SMTPServer {
  readonly #connections = new Map<string, PromptConnection>();

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const connection = new PromptConnection(this, socket, options);
    this.#connections.set(connection.id, connection);
    socket.once("close", () => this.#connections.delete(connection.id));
    this.connections.add(connection);
    connection.on("error", (error: Error) => this._onError(error));
    connection.init();
  }

  hangUp(sessionId: string): void {
    this.#connections.get(sessionId)?.hangUp();
  }

  hangUpAll(): void {
    for (const connection of this.#connections.values()) connection.hangUp();
  }
}
