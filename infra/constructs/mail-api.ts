/** The HTTP API in front of the Lambdas: a route for each part of it, limits on requests, an access log, and a name of one's own. */

import { CfnOutput, RemovalPolicy } from "aws-cdk-lib";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import {
  DomainName,
  EndpointType,
  HttpApi,
  HttpNoneAuthorizer,
  HttpStage,
  LogGroupLogDestination,
  SecurityPolicy,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

import { accept } from "../accepted-findings.ts";

export interface MailApiProps {
  readonly apiName: string;
  /** First segment of the paths, and who answers them. */
  readonly routes: ReadonlyMap<string, IFunction>;
  /** Who answers all else. */
  readonly fallback: IFunction;
  readonly rateLimit: number;
  readonly burstLimit: number;
  /** Null: the API has the name that AWS gives it. */
  readonly domain: { readonly name: string; readonly certificateArn: string } | null;
}

export class MailApi extends Construct {
  readonly api: HttpApi;

  constructor(scope: Construct, id: string, props: MailApiProps) {
    super(scope, id);
    const domain = props.domain && this.domainOf(props.domain);
    this.api = new HttpApi(this, "Api", {
      apiName: props.apiName,
      description: "ZoneFleet: mail in, questions about it, and changes",
      defaultIntegration: new HttpLambdaIntegration("Fallback", props.fallback),
      defaultAuthorizer: new HttpNoneAuthorizer(),
      createDefaultStage: false,
      disableExecuteApiEndpoint: domain !== null,
    });
    accept(
      this.api,
      "AwsSolutions-APIG4",
      "The Lambdas let nobody in without an API key, whose hash they look up; an authorizer would be one more invocation for each request.",
    );
    for (const [segment, to] of props.routes) {
      const integration = new HttpLambdaIntegration(`To-${segment}`, to);
      for (const path of [`/${segment}`, `/${segment}/{rest+}`]) this.api.addRoutes({ path, integration });
    }
    this.addStage(props, domain);
    const url = props.domain ? `https://${props.domain.name}` : this.api.apiEndpoint;
    new CfnOutput(this, "Url", { value: url, description: "Where mail is handed in" });
  }

  private addStage({ apiName, rateLimit, burstLimit }: MailApiProps, domainName: DomainName | null): void {
    const log = new LogGroup(this, "AccessLog", {
      logGroupName: `/zonefleet/${apiName}/access`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    new HttpStage(this, "Stage", {
      httpApi: this.api,
      stageName: "$default",
      autoDeploy: true,
      throttle: { rateLimit, burstLimit },
      detailedMetricsEnabled: true,
      accessLogSettings: {
        destination: new LogGroupLogDestination(log),
        // No query and no body: they may name recipients.
        format: AccessLogFormat.custom(
          JSON.stringify({
            time: "$context.requestTime",
            requestId: "$context.requestId",
            ip: "$context.identity.sourceIp",
            route: "$context.routeKey",
            method: "$context.httpMethod",
            status: "$context.status",
            bytes: "$context.responseLength",
            latencyMs: "$context.responseLatency",
            error: "$context.integrationErrorMessage",
          }),
        ),
      },
      ...(domainName ? { domainMapping: { domainName } } : {}),
    });
  }

  private domainOf({ name, certificateArn }: { name: string; certificateArn: string }): DomainName {
    const domain = new DomainName(this, "Domain", {
      domainName: name,
      certificate: Certificate.fromCertificateArn(this, "Certificate", certificateArn),
      endpointType: EndpointType.REGIONAL,
      securityPolicy: SecurityPolicy.TLS_1_2,
    });
    new CfnOutput(this, "DomainTarget", {
      value: domain.regionalDomainName,
      description: `Publish a CNAME (or alias) of ${name} to it`,
    });
    return domain;
  }
}
