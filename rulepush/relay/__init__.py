"""The relay behind Alertmanager's webhook: notifications in, messages of DingTalk, Feishu and WeCom robots out.

webhook JSON -> notification -> render (templates, split) -> robot (rate limit, digest, retries) -> sender (wire)
"""
