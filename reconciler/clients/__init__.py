"""The only home of httpx: step-ca and the other gateway."""
