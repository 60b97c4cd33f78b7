/** CDK would tag these, which linters that go by CloudFormation's own description of a resource refuse. */
export const WITHOUT_TAGS = ["AWS::CloudWatch::Dashboard", "AWS::ElasticLoadBalancingV2::Listener"] as const;
