"""Addresses and a secret of the form that robots have."""

DINGTALK_TOKEN = "3b9ac27d51e84f60b7d2a91c58e3f7046d1bc95a27f0e86349ad71c2b5e0f368"
DINGTALK_URL = f"https://oapi.dingtalk.com/robot/send?access_token={DINGTALK_TOKEN}"
FEISHU_URL = "https://open.feishu.cn/open-apis/bot/v2/hook/7c1f9a52-3e84-4b0d-9a67-d2e51b84c93f"
WECOM_URL = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=b58e12f4-07c9-4d3a-86e1-9f2c4a7d60b3"
ROBOT_SECRET = "SEC7d2f04a9b1c86e35d0f972ab4c1e68530b9da7f2465ce18307fbd9246ae5c018"
