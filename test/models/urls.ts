/** Where whoever serves a page with these specs or tables serves `.models/`; karma does, too. */
export const MODELS_URL = '/models';
